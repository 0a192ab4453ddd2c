// Package checkwire reads Envoy's CheckRequest from the wire and writes CheckResponses (envoy.service.auth.v3), without
// the generated types: of a request with seventeen headers these make a hundred and thirty objects, of which a check
// needs a few texts.
//
//	CheckRequest.attributes ─┬ request.http ─┬ method, path, host, scheme
//	                         │               ├ headers             map: one value a name, the last one counts
//	                         │               └ header_map.headers  list of names and raw values
//	                         └ context_extensions                  map
//
// Every other field is passed over unread. What is read means what the generated types would make of it: of a field that
// is there twice the last one counts, messages that are there twice are one, a field of another wire type is an unknown
// one, texts are UTF-8. Tests hold both directions against the generated types, and the reader against protobuf's own with
// a schema that has these fields only.
//
// Bytes that are not such a message, or one with more headers than anybody sends, make a request that says so, and no error: to a proxy that is set to fail open, an
// error would be an allow.
package checkwire
