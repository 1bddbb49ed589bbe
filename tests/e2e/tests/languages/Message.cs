using System;
using System.Collections.Generic;
using System.Net.Http;
using System.Runtime.InteropServices;
using System.Text;

/// A message of the Claude API, with the library in C by P/Invoke.
public static class Message {
    const string Library = "libwif.so.0";
    [DllImport(Library)]
    static extern IntPtr wif_open(string configuration, string options, IntPtr callables, UIntPtr count, IntPtr log, IntPtr user, out IntPtr error);
    [DllImport(Library)] static extern IntPtr wif_get_token(IntPtr credential, long atMostMs, out IntPtr error);
    [DllImport(Library)] static extern void wif_token_free(IntPtr token);
    [DllImport(Library)] static extern void wif_string_free(IntPtr text);
    [DllImport(Library)] static extern int wif_close(IntPtr credential);

    [StructLayout(LayoutKind.Sequential)]
    struct Token { public IntPtr Id, Origin, Value, Headers, Merged; public int Suspect; }

    /// What the function returned, or its error, thrown.
    static IntPtr Checked(IntPtr value, IntPtr error) {
        if (value != IntPtr.Zero) return value;
        var document = Marshal.PtrToStringAnsi(error);
        wif_string_free(error);
        throw new Exception(document);
    }

    /// A list of C: name, value, name, value, ..., NULL.
    static IEnumerable<KeyValuePair<string, string>> Pairs(IntPtr list) {
        Func<int, string> text = at => Marshal.PtrToStringAnsi(Marshal.ReadIntPtr(list, at * IntPtr.Size));
        for (var at = 0; text(at) != null; at += 2) yield return new KeyValuePair<string, string>(text(at), text(at + 1));
    }

    public static int Main() {
        IntPtr error;
        var credential = wif_open(null, null, IntPtr.Zero, UIntPtr.Zero, IntPtr.Zero, IntPtr.Zero, out error);
        Checked(credential, error);
        var got = Checked(wif_get_token(credential, 10000, out error), error);
        var token = (Token)Marshal.PtrToStructure(got, typeof(Token));
        var body = "{\"model\": \"claude-sonnet-4-5\", \"max_tokens\": 64, \"messages\": [{\"role\": \"user\", \"content\": \"Say hello.\"}]}";
        var request = new HttpRequestMessage(HttpMethod.Post, Marshal.PtrToStringAnsi(token.Origin) + "/v1/messages") {
            Content = new StringContent(body, Encoding.UTF8, "application/json")
        };
        request.Headers.Add("anthropic-version", "2023-06-01");
        foreach (var pair in Pairs(token.Headers)) request.Headers.TryAddWithoutValidation(pair.Key, pair.Value);
        foreach (var pair in Pairs(token.Merged)) request.Headers.TryAddWithoutValidation(pair.Key, pair.Value);
        wif_token_free(got);

        using (var client = new HttpClient()) {
            var answer = client.SendAsync(request).Result;
            if ((int)answer.StatusCode != 200) throw new Exception("the API answered " + (int)answer.StatusCode);
            // As it came: a reader of JSON would be one more reference.
            Console.WriteLine(answer.Content.ReadAsStringAsync().Result);
        }
        return wif_close(credential);
    }
}
