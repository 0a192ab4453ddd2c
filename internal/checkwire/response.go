package checkwire

import "google.golang.org/protobuf/encoding/protowire"

// The numbers of the fields of an answer (external_auth.proto, base.proto, google/rpc/status.proto).
const (
	responseStatus     = 1
	responseDenied     = 2
	responseOK         = 3
	statusCode         = 1
	statusMessage      = 2
	okHeaders          = 2
	okRemove           = 5
	okResponseHeaders  = 6
	deniedStatus       = 1
	deniedHeaders      = 2
	deniedBody         = 3
	httpStatusCode     = 1
	optionHeader       = 1
	optionAppend       = 2
	optionAppendAction = 3
)

// How an option says what is done with a header that is there already, in both of its fields: Envoy versions differ in
// which one they read, and the zero value of the action appends.
var (
	// overwrite is append: false and OVERWRITE_IF_EXISTS_OR_ADD.
	overwrite = []byte{optionAppend<<3 | 2, 0, optionAppendAction << 3, 2}
	// add is append: true and APPEND_IF_EXISTS_OR_ADD, which is not written because it is zero.
	add = []byte{optionAppend<<3 | 2, 2, 1 << 3, 1}
)

// Part is a piece of an allowing answer, ready to be written. It does not change. The zero value is nothing.
type Part struct{ wire []byte }

// Removed is the part that takes headers of these names from the request.
func Removed(names ...string) Part {
	var p Part
	for _, name := range names {
		p.wire = appendText(p.wire, okRemove, name, true)
	}
	return p
}

// Answered is the part that sets a header of the application's answer; with added, others of its name stay.
func Answered(h Header, added bool) Part {
	how := overwrite
	if added {
		how = add
	}
	return Part{appendOption(nil, okResponseHeaders, h, how)}
}

// AppendAllowed writes the answer that lets a request through: set overwrites its headers, remove takes headers from it,
// and parts does what they say.
func AppendAllowed(to []byte, set []Header, remove []string, parts ...Part) []byte {
	size := 0
	for _, p := range parts {
		size += len(p.wire)
	}
	for _, h := range set {
		size += sizeOption(okHeaders, h, overwrite)
	}
	for _, name := range remove {
		size += sizeText(okRemove, name, true)
	}
	to = append(to, responseStatus<<3|2, 0) // an empty status is OK
	to = appendLength(to, responseOK, size)
	for _, p := range parts {
		to = append(to, p.wire...)
	}
	for _, h := range set {
		to = appendOption(to, okHeaders, h, overwrite)
	}
	for _, name := range remove {
		to = appendText(to, okRemove, name, true)
	}
	return to
}

// Denial is an answer that stops a request.
type Denial struct {
	// Code and Message are the gRPC status. Code must not be 0: to Envoy that would allow, whatever else the answer says.
	Code    uint32
	Message string
	// HTTPStatus, Headers and Body are the answer for the client.
	HTTPStatus uint32
	Headers    []Header
	Body       string
}

// AppendDenied writes the answer that stops a request.
func AppendDenied(to []byte, d Denial) []byte {
	size := sizeText(deniedBody, d.Body, false)
	status := sizeNumber(httpStatusCode, d.HTTPStatus)
	size += protowire.SizeTag(deniedStatus) + protowire.SizeBytes(status)
	for _, h := range d.Headers {
		size += sizeOption(deniedHeaders, h, overwrite)
	}
	to = appendLength(to, responseStatus, sizeNumber(statusCode, d.Code)+sizeText(statusMessage, d.Message, false))
	to = appendNumber(to, statusCode, d.Code)
	to = appendText(to, statusMessage, d.Message, false)
	to = appendLength(to, responseDenied, size)
	to = appendLength(to, deniedStatus, status)
	to = appendNumber(to, httpStatusCode, d.HTTPStatus)
	for _, h := range d.Headers {
		to = appendOption(to, deniedHeaders, h, overwrite)
	}
	return appendText(to, deniedBody, d.Body, false)
}

func sizeOption(field protowire.Number, h Header, how []byte) int {
	return protowire.SizeTag(field) + protowire.SizeBytes(optionSize(h, how))
}

func optionSize(h Header, how []byte) int {
	return protowire.SizeTag(optionHeader) + protowire.SizeBytes(headerSize(h)) + len(how)
}

func headerSize(h Header) int {
	return sizeText(headerKey, h.Name, false) + sizeText(headerValue, h.Value, false)
}

func appendOption(to []byte, field protowire.Number, h Header, how []byte) []byte {
	to = appendLength(to, field, optionSize(h, how))
	to = appendLength(to, optionHeader, headerSize(h))
	to = appendText(to, headerKey, h.Name, false)
	to = appendText(to, headerValue, h.Value, false)
	return append(to, how...)
}

// sizeText is the size of a text. An empty one is written only where the field is repeated.
func sizeText(field protowire.Number, s string, repeated bool) int {
	if s == "" && !repeated {
		return 0
	}
	return protowire.SizeTag(field) + protowire.SizeBytes(len(s))
}

func appendText(to []byte, field protowire.Number, s string, repeated bool) []byte {
	if s == "" && !repeated {
		return to
	}
	return append(appendLength(to, field, len(s)), s...)
}

func sizeNumber(field protowire.Number, n uint32) int {
	if n == 0 {
		return 0
	}
	return protowire.SizeTag(field) + protowire.SizeVarint(uint64(n))
}

func appendNumber(to []byte, field protowire.Number, n uint32) []byte {
	if n == 0 {
		return to
	}
	return protowire.AppendVarint(protowire.AppendTag(to, field, protowire.VarintType), uint64(n))
}

// appendLength begins a field that has so many bytes.
func appendLength(to []byte, field protowire.Number, size int) []byte {
	return protowire.AppendVarint(protowire.AppendTag(to, field, protowire.BytesType), uint64(size)) //nolint:gosec // not negative
}
