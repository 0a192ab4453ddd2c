package checkwire

import (
	"bytes"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	auth "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/dynamicpb"
)

// reading is what both readers are compared by.
type reading struct {
	Malformed                  bool
	Method, Path, Host, Scheme string
	Headers, Extensions        map[string]string
	HeaderMap                  []Header
}

func (r reading) equal(o reading) bool {
	return r.Malformed == o.Malformed && r.Method == o.Method && r.Path == o.Path && r.Host == o.Host && r.Scheme == o.Scheme &&
		maps.Equal(r.Headers, o.Headers) && maps.Equal(r.Extensions, o.Extensions) && slices.Equal(r.HeaderMap, o.HeaderMap)
}

func ours(b []byte) reading {
	var r Request
	r.Read(bytes.Clone(b))
	got := reading{Malformed: r.Malformed, Method: r.Method, Path: r.Path, Host: r.Host, Scheme: r.Scheme, Headers: map[string]string{}, Extensions: map[string]string{}, HeaderMap: r.HeaderMap}
	for _, h := range r.Headers {
		if _, twice := got.Headers[h.Name]; twice {
			got.Headers["twice"] = h.Name
		}
		got.Headers[h.Name] = h.Value
	}
	for _, e := range r.extensions {
		got.Extensions[e.Name] = r.Extension(e.Name)
	}
	return got
}

func theirs(m *auth.CheckRequest) reading {
	http := m.GetAttributes().GetRequest().GetHttp()
	want := reading{Method: http.GetMethod(), Path: http.GetPath(), Host: http.GetHost(), Scheme: http.GetScheme(), Headers: map[string]string{}, Extensions: map[string]string{}}
	maps.Copy(want.Headers, http.GetHeaders())
	maps.Copy(want.Extensions, m.GetAttributes().GetContextExtensions())
	for _, h := range http.GetHeaderMap().GetHeaders() {
		value := h.GetValue()
		if len(h.GetRawValue()) > 0 {
			value = string(h.GetRawValue())
		}
		want.HeaderMap = append(want.HeaderMap, Header{h.GetKey(), value})
	}
	return want
}

// excerpt is the schema with the fields that are read, and no others. It is made of the generated one, so a wrong number
// in this package shows.
var excerpt = func() protoreflect.MessageDescriptor {
	kept := map[protoreflect.FullName][]protoreflect.Name{
		"envoy.service.auth.v3.CheckRequest":                 {"attributes"},
		"envoy.service.auth.v3.AttributeContext":             {"request", "context_extensions"},
		"envoy.service.auth.v3.AttributeContext.Request":     {"http"},
		"envoy.service.auth.v3.AttributeContext.HttpRequest": {"method", "path", "host", "scheme", "headers", "header_map"},
		"envoy.config.core.v3.HeaderMap":                     {"headers"},
		"envoy.config.core.v3.HeaderValue":                   {"key", "value", "raw_value"},
	}
	file := &descriptorpb.FileDescriptorProto{Name: proto.String("excerpt.proto"), Package: proto.String("excerpt"), Syntax: proto.String("proto3")}
	flat := func(name string) string { return strings.ReplaceAll(strings.TrimPrefix(name, "."), ".", "_") }
	for _, m := range []proto.Message{&auth.CheckRequest{}, &auth.AttributeContext{}, &auth.AttributeContext_Request{}, &auth.AttributeContext_HttpRequest{}, &core.HeaderMap{}, &core.HeaderValue{}} {
		descriptor := m.ProtoReflect().Descriptor()
		full := protodesc.ToDescriptorProto(descriptor)
		message := &descriptorpb.DescriptorProto{Name: proto.String(flat(string(descriptor.FullName())))}
		for _, name := range kept[descriptor.FullName()] {
			for _, f := range full.GetField() {
				if f.GetName() != string(name) {
					continue
				}
				f.Options = nil
				if f.TypeName != nil {
					target := f.GetTypeName()
					if entry, nested := strings.CutPrefix(target, "."+string(descriptor.FullName())+"."); nested && strings.HasSuffix(entry, "Entry") {
						f.TypeName = proto.String(".excerpt." + message.GetName() + "." + entry)
						for _, n := range full.GetNestedType() {
							if n.GetName() == entry {
								message.NestedType = append(message.NestedType, n)
							}
						}
					} else {
						f.TypeName = proto.String(".excerpt." + flat(target))
					}
				}
				message.Field = append(message.Field, f)
			}
		}
		file.MessageType = append(file.MessageType, message)
	}
	built, err := protodesc.NewFile(file, nil)
	if err != nil {
		panic(err)
	}
	return built.Messages().ByName("envoy_service_auth_v3_CheckRequest")
}()

// differs holds the reader against both others.
func differs(b []byte) string {
	got := ours(b)
	if got.Malformed && len(b) > 2*MaxHeaders {
		return "" // may have more headers than are read: see TestHeadersAreBounded
	}
	var whole auth.CheckRequest
	if proto.Unmarshal(b, &whole) == nil {
		if want := theirs(&whole); !got.equal(want) {
			return "the generated types (-) read otherwise: " + cmp.Diff(want, got)
		}
	}
	partly, err := readExcerpt(b)
	if err != nil {
		if !got.Malformed || got.Method+got.Path+got.Host+got.Scheme != "" || len(got.Headers)+len(got.Extensions)+len(got.HeaderMap) > 0 {
			return fmt.Sprintf("protobuf refuses it (%v), and it was read as %+v", err, got)
		}
		return ""
	}
	if partly == nil {
		return ""
	}
	again, err := proto.Marshal(partly)
	if err != nil {
		return err.Error()
	}
	whole.Reset()
	if err := proto.Unmarshal(again, &whole); err != nil {
		return err.Error()
	}
	if want := theirs(&whole); !got.equal(want) {
		return "protobuf (-) reads otherwise: " + cmp.Diff(want, got)
	}
	return ""
}

// readExcerpt reads b as the excerpt. It returns nothing at all where protobuf's reader of dynamic messages panics, as it
// does (v1.36.12) when the key of a map's entry is followed by an unknown field of the key's number; the reader of the
// generated types does not, and is asked about that message too.
func readExcerpt(b []byte) (m proto.Message, err error) {
	defer func() {
		if fault := recover(); fault != nil {
			if !strings.Contains(fmt.Sprint(fault), "cannot convert nil to map key") {
				panic(fault)
			}
			m, err = nil, nil
		}
	}()
	m = dynamicpb.NewMessage(excerpt)
	return m, proto.UnmarshalOptions{DiscardUnknown: true}.Unmarshal(b, m)
}

// FuzzRead: whatever the bytes, the reader makes of them what protobuf makes.
func FuzzRead(f *testing.F) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 20 {
		b, err := proto.Marshal(message(r))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
		f.Add(append(b, nested(r, odd(r))...))
	}
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		if problem := differs(b); problem != "" {
			t.Fatal(problem)
		}
	})
}
