package files

import (
	"strings"
	"unicode/utf8"
)

// text is what these bytes say. The longest beginning of a character that does not go on as one is a single U+FFFD, as in other languages:
// a version is made of it.
func text(bytes []byte) string {
	if utf8.Valid(bytes) {
		return string(bytes)
	}
	var written strings.Builder
	for len(bytes) > 0 {
		if character, length := utf8.DecodeRune(bytes); character != utf8.RuneError || length > 1 {
			written.Write(bytes[:length])
			bytes = bytes[length:]
			continue
		}
		written.WriteRune(utf8.RuneError)
		bytes = bytes[brokenOff(bytes):]
	}
	return written.String()
}

// brokenOff is how many bytes begin a character here and do not end one: at least one.
func brokenOff(bytes []byte) int {
	length, low, high := 1, byte(0x80), byte(0xbf)
	switch first := bytes[0]; {
	case first >= 0xc2 && first <= 0xdf:
		length = 2
	case first >= 0xe0 && first <= 0xef:
		length = 3
	case first >= 0xf0 && first <= 0xf4:
		length = 4
	}
	switch bytes[0] {
	case 0xe0:
		low = 0xa0
	case 0xed:
		high = 0x9f
	case 0xf0:
		low = 0x90
	case 0xf4:
		high = 0x8f
	}
	at := 1
	for at < length && at < len(bytes) && bytes[at] >= low && bytes[at] <= high {
		at++
		low, high = 0x80, 0xbf
	}
	return at
}

// quoted is the text in JSON, with as little escaped as may be.
func quoted(text string) string {
	const digits = "0123456789abcdef"
	short := map[byte]string{'"': `\"`, '\\': `\\`, '\b': `\b`, '\f': `\f`, '\n': `\n`, '\r': `\r`, '\t': `\t`}
	var written strings.Builder
	written.WriteByte('"')
	for i := range len(text) {
		letter := text[i]
		if escaped, ok := short[letter]; ok {
			written.WriteString(escaped)
		} else if letter < 0x20 {
			written.WriteString(`\u00`)
			written.Write([]byte{digits[letter>>4], digits[letter&15]})
		} else {
			written.WriteByte(letter)
		}
	}
	written.WriteByte('"')
	return written.String()
}
