package snapshot

import "encoding/json"

// PlainIssuer is [EncodeIssuer] without compressing, which takes most of the time.
func PlainIssuer(doc Issuer) ([]byte, error) { return json.Marshal(wireOf(doc)) }

// PlainEdge is [EncodeEdge] without compressing.
func PlainEdge(doc Edge) ([]byte, error) {
	doc.Format = EdgeFormat
	return json.Marshal(doc)
}
