# A message of the Claude API, with the library in C by Fiddle, which comes with Ruby. `ruby message.rb`
require "fiddle/import"
require "json"
require "net/http"

module Wif
  extend Fiddle::Importer
  dlload "libwif.so.0"
  extern "void *wif_open(char *, char *, void *, size_t, void *, void *, void *)"
  extern "void *wif_get_token(void *, long long, void *)"
  extern "void wif_token_free(void *)"
  extern "void wif_string_free(void *)"
  extern "int wif_close(void *)"
  Token = struct(["char *id", "char *origin", "char *value", "void *headers", "void *merged", "int suspect"])

  # What the function returns, or its error, raised.
  def self.checked(error)
    value = yield error
    return value unless value.null?
    document = error.ptr.to_s
    wif_string_free(error.ptr)
    raise document
  end

  # A list of C: name, value, name, value, ..., NULL.
  def self.pairs(list)
    texts = []
    texts << list[texts.size * Fiddle::SIZEOF_VOIDP, Fiddle::SIZEOF_VOIDP].unpack1("J") until texts.last == 0
    texts[0...-1].map { |text| Fiddle::Pointer.new(text).to_s }.each_slice(2).to_h
  end
end

error = Fiddle::Pointer.malloc(Fiddle::SIZEOF_VOIDP, Fiddle::RUBY_FREE)
credential = Wif.checked(error) { |place| Wif.wif_open(nil, nil, nil, 0, nil, nil, place) }
fields = Wif.checked(error) { |place| Wif.wif_get_token(credential, 10_000, place) }
token = Wif::Token.new(fields)
api = URI(token.origin.to_s + "/v1/messages")
headers = { "content-type" => "application/json", "anthropic-version" => "2023-06-01" }
headers.merge!(Wif.pairs(token.headers), Wif.pairs(token.merged))
Wif.wif_token_free(fields)

body = { model: "claude-sonnet-4-5", max_tokens: 64, messages: [{ role: "user", content: "Say hello." }] }
answer = Net::HTTP.post(api, body.to_json, headers)
raise "the API answered #{answer.code}" unless answer.is_a?(Net::HTTPOK)
puts JSON.parse(answer.body)["content"][0]["text"]
Wif.wif_close(credential)
