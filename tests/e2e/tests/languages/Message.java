import java.lang.foreign.Arena;
import java.lang.foreign.FunctionDescriptor;
import java.lang.foreign.Linker;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.SymbolLookup;
import java.lang.foreign.ValueLayout;
import java.lang.invoke.MethodHandle;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse.BodyHandlers;
import java.util.ArrayList;
import java.util.List;

/** A message of the Claude API, with the library in C by the foreign functions of Java 22 and later. */
public class Message {
    static final ValueLayout.OfLong LONG = ValueLayout.JAVA_LONG;
    static final ValueLayout POINTER = ValueLayout.ADDRESS;
    static final SymbolLookup LIBRARY = SymbolLookup.libraryLookup("libwif.so.0", Arena.global());

    /** A function whose result comes first, and then its parameters. */
    static MethodHandle function(String name, ValueLayout result, ValueLayout... parameters) {
        FunctionDescriptor types = FunctionDescriptor.of(result, parameters);
        return Linker.nativeLinker().downcallHandle(LIBRARY.find(name).orElseThrow(), types);
    }

    /** What the function returned, or its error, thrown. */
    static MemorySegment checked(MemorySegment value, MemorySegment error) {
        if (value.address() != 0) return value;
        throw new IllegalStateException(text(error.get(ValueLayout.ADDRESS, 0)));
    }

    static String text(MemorySegment pointer) {
        return pointer.reinterpret(Long.MAX_VALUE).getString(0);
    }

    /** A list of C: name, value, name, value, ..., NULL. */
    static List<String> texts(MemorySegment list) {
        MemorySegment all = list.reinterpret(Long.MAX_VALUE);
        List<String> texts = new ArrayList<>();
        for (long at = 0; all.getAtIndex(ValueLayout.ADDRESS, at).address() != 0; at++)
            texts.add(text(all.getAtIndex(ValueLayout.ADDRESS, at)));
        return texts;
    }

    public static void main(String[] arguments) throws Throwable {
        MethodHandle open = function("wif_open", POINTER, POINTER, POINTER, POINTER, LONG, POINTER, POINTER, POINTER);
        MethodHandle getToken = function("wif_get_token", POINTER, POINTER, LONG, POINTER);
        MethodHandle close = function("wif_close", ValueLayout.JAVA_INT, POINTER);
        MethodHandle free = Linker.nativeLinker()
            .downcallHandle(LIBRARY.find("wif_token_free").orElseThrow(), FunctionDescriptor.ofVoid(POINTER));
        MemorySegment nothing = MemorySegment.NULL;
        MemorySegment error = Arena.global().allocate(POINTER);
        MemorySegment credential =
            checked((MemorySegment) open.invokeExact(nothing, nothing, nothing, 0L, nothing, nothing, error), error);
        MemorySegment token = checked((MemorySegment) getToken.invokeExact(credential, 10_000L, error), error);

        // struct wif_token: id, origin, value, headers, merged, suspect.
        MemorySegment fields = token.reinterpret(5 * POINTER.byteSize());
        String origin = text(fields.getAtIndex(ValueLayout.ADDRESS, 1));
        List<String> headers = texts(fields.getAtIndex(ValueLayout.ADDRESS, 3));
        headers.addAll(texts(fields.getAtIndex(ValueLayout.ADDRESS, 4)));
        free.invokeExact(token);

        String body = """
            {"model": "claude-sonnet-4-5", "max_tokens": 64, "messages": [{"role": "user", "content": "Say hello."}]}""";
        HttpRequest request = HttpRequest.newBuilder(URI.create(origin + "/v1/messages"))
            .headers(headers.toArray(String[]::new))
            .headers("content-type", "application/json", "anthropic-version", "2023-06-01")
            .POST(HttpRequest.BodyPublishers.ofString(body)).build();
        var answer = HttpClient.newHttpClient().send(request, BodyHandlers.ofString());
        if (answer.statusCode() != 200) throw new IllegalStateException("the API answered " + answer.statusCode());
        // Java brings no reader of JSON.
        System.out.println(answer.body());
        int closed = (int) close.invokeExact(credential);
        System.exit(closed);
    }
}
