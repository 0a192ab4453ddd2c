package checkwire

// Header is one header, or another name with a value.
type Header struct{ Name, Value string }

// Request is what a check reads of a CheckRequest. The zero value is the empty message. It is for one goroutine at a
// time; its texts share the memory that was given to [Request.Read], and are good as long as nobody writes there.
type Request struct {
	// Malformed tells that the bytes were no CheckRequest, or one with more than [MaxHeaders]. Then the rest is empty.
	Malformed bool
	// Method, Path, Host and Scheme are those of attributes.request.http.
	Method, Path, Host, Scheme string
	// Headers is the map, HeaderMap the list, in which the raw value stands where there is one. Names are as sent.
	Headers, HeaderMap []Header

	extensions []Header
	// names finds a header of the map, where there are many.
	names map[string]int
	// marks has a bit for each name of the map; one whose bit is not there is new.
	marks uint64
}

// Extension returns what attributes.context_extensions says of a name; empty if it says nothing.
func (r *Request) Extension(name string) string {
	for i := len(r.extensions) - 1; i >= 0; i-- { // the last one counts
		if r.extensions[i].Name == name {
			return r.extensions[i].Value
		}
	}
	return ""
}

// MaxHeaders bounds the map and the list of headers, each, and the extensions. Envoy takes 100 headers of a client, if it
// is not told otherwise; a megabyte of the shortest would become twenty before anybody knows who asks.
const MaxHeaders = 1000

// maxKept is how many a message may have had whose room is kept for the next one.
const maxKept = 256

// Reset makes r the empty message. It keeps room for the next one, and nothing of the last.
func (r *Request) Reset() {
	*r = Request{Headers: emptied(r.Headers), HeaderMap: emptied(r.HeaderMap), extensions: emptied(r.extensions)}
}

func emptied(headers []Header) []Header {
	if cap(headers) > maxKept {
		return nil
	}
	clear(headers)
	return headers[:0]
}

// The numbers of the fields (attribute_context.proto, external_auth.proto, base.proto).
const (
	checkAttributes      = 1
	attributesRequest    = 4
	attributesExtensions = 10
	requestHTTP          = 2
	httpMethod           = 2
	httpHeaders          = 3
	httpPath             = 4
	httpHost             = 5
	httpScheme           = 6
	httpHeaderMap        = 13
	listHeaders          = 1
	headerKey            = 1
	headerValue          = 2
	headerRawValue       = 3
)

// Read makes r what b says. It keeps b, which nobody may change while r or one of its texts is used.
func (r *Request) Read(b []byte) {
	r.Reset()
	if !r.check(b) {
		r.Reset()
		r.Malformed = true
	}
}

func (r *Request) check(b []byte) bool {
	for f := (fields{rest: b}); ; {
		switch f.next() {
		case checkAttributes:
			if !r.attributes(f.value) {
				return false
			}
		case end:
			return f.whole
		}
	}
}

func (r *Request) attributes(b []byte) bool {
	for f := (fields{rest: b}); ; {
		switch f.next() {
		case attributesRequest:
			if !r.request(f.value) {
				return false
			}
		case attributesExtensions:
			e, ok := pair(f.value)
			if !ok || len(r.extensions) == MaxHeaders {
				return false
			}
			r.extensions = append(r.extensions, e)
		case end:
			return f.whole
		}
	}
}

func (r *Request) request(b []byte) bool {
	for f := (fields{rest: b}); ; {
		switch f.next() {
		case requestHTTP:
			if !r.http(f.value) {
				return false
			}
		case end:
			return f.whole
		}
	}
}

func (r *Request) http(b []byte) bool {
	for f := (fields{rest: b}); ; {
		ok := true
		switch f.next() {
		case httpMethod:
			r.Method, ok = text(f.value)
		case httpPath:
			r.Path, ok = text(f.value)
		case httpHost:
			r.Host, ok = text(f.value)
		case httpScheme:
			r.Scheme, ok = text(f.value)
		case httpHeaders:
			var h Header
			if h, ok = pair(f.value); ok {
				ok = r.set(h)
			}
		case httpHeaderMap:
			ok = r.list(f.value)
		case end:
			return f.whole
		}
		if !ok {
			return false
		}
	}
}

func (r *Request) list(b []byte) bool {
	for f := (fields{rest: b}); ; {
		switch f.next() {
		case listHeaders:
			h, ok := listed(f.value)
			if !ok || len(r.HeaderMap) == MaxHeaders {
				return false
			}
			r.HeaderMap = append(r.HeaderMap, h)
		case end:
			return f.whole
		}
	}
}

// few is how many headers are compared one by one.
const few = 32

// set puts a header into the map, if there is room. One of the same name goes.
func (r *Request) set(h Header) bool {
	if len(r.Headers) < few {
		if mark := mark(h.Name); r.marks&mark == 0 {
			r.marks |= mark
		} else {
			for i := range r.Headers {
				if r.Headers[i].Name == h.Name {
					r.Headers[i] = h
					return true
				}
			}
		}
		r.Headers = append(r.Headers, h)
		return true
	}
	if r.names == nil {
		r.names = make(map[string]int, 2*few)
		for i := range r.Headers {
			r.names[r.Headers[i].Name] = i
		}
	}
	i, there := r.names[h.Name]
	switch {
	case there:
		r.Headers[i] = h
		return true
	case len(r.Headers) == MaxHeaders:
		return false
	}
	r.names[h.Name] = len(r.Headers)
	r.Headers = append(r.Headers, h)
	return true
}

// mark is one of 64 bits by the length and two letters of a name.
func mark(name string) uint64 {
	n := len(name)
	if n == 0 {
		return 1
	}
	return 1 << ((uint(n)*5 + uint(name[n-1])*3 + uint(name[n/2])*7) % 64)
}

// pair reads an entry of a map of texts.
func pair(b []byte) (h Header, ok bool) {
	for f := (fields{rest: b}); ; {
		ok = true
		switch f.next() {
		case headerKey:
			h.Name, ok = text(f.value)
		case headerValue:
			h.Value, ok = text(f.value)
		case end:
			return h, f.whole
		}
		if !ok {
			return h, false
		}
	}
}

// listed reads a HeaderValue.
func listed(b []byte) (h Header, ok bool) {
	raw := ""
	for f := (fields{rest: b}); ; {
		ok = true
		switch f.next() {
		case headerKey:
			h.Name, ok = text(f.value)
		case headerValue:
			h.Value, ok = text(f.value)
		case headerRawValue:
			raw = shared(f.value)
		case end:
			if raw != "" {
				h.Value = raw
			}
			return h, f.whole
		}
		if !ok {
			return h, false
		}
	}
}
