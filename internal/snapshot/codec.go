package snapshot

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// issuerWire is Issuer with the signing key in clear: the one place where a private key is written into a document.
type issuerWire struct {
	Issuer
	SigningKey json.RawMessage      `json:"signingKey,omitempty"`
	Identity   []identitySourceWire `json:"identity"`
}

type identitySourceWire struct {
	Name          string        `json:"name"`
	SubjectPrefix string        `json:"subjectPrefix,omitempty"`
	Htpasswd      *htpasswdWire `json:"htpasswd,omitempty"`
	Webhook       *Webhook      `json:"webhook,omitempty"`
	OIDC          *OIDC         `json:"oidc,omitempty"`
	Kubernetes    *Kubernetes   `json:"kubernetes,omitempty"`
}

type htpasswdWire struct {
	Users string `json:"users,omitempty"`
	Roles string `json:"roles,omitempty"`
}

// EncodeIssuer writes the document as compressed JSON: the same bytes for the same document.
func EncodeIssuer(doc Issuer) ([]byte, error) { return encode(wireOf(doc)) }

func wireOf(doc Issuer) issuerWire {
	doc.Format = IssuerFormat
	wire := issuerWire{Issuer: doc, SigningKey: doc.SigningKey.Reveal(), Identity: []identitySourceWire{}}
	for _, source := range doc.Identity {
		w := identitySourceWire{
			Name: source.Name, SubjectPrefix: source.SubjectPrefix,
			Webhook: source.Webhook, OIDC: source.OIDC, Kubernetes: source.Kubernetes,
		}
		if h := source.Htpasswd; h != nil {
			w.Htpasswd = &htpasswdWire{Users: h.Users.Reveal(), Roles: h.Roles}
		}
		wire.Identity = append(wire.Identity, w)
	}
	return wire
}

// EncodeEdge writes the document as compressed JSON: the same bytes for the same document.
func EncodeEdge(doc Edge) ([]byte, error) {
	doc.Format = EdgeFormat
	return encode(doc)
}

// DecodeIssuer reads an issuer document, plain or compressed. Unknown members are refused: a typing error in a
// file written by hand must not silently loosen it.
func DecodeIssuer(raw []byte) (Issuer, error) {
	var doc Issuer
	err := decode(raw, IssuerFormat, &doc)
	return doc, err
}

// DecodeEdge reads an edge document, plain or compressed, as [DecodeIssuer] does.
func DecodeEdge(raw []byte) (Edge, error) {
	var doc Edge
	err := decode(raw, EdgeFormat, &doc)
	return doc, err
}

// ErrTooLarge is returned for a document past [MaxBytes].
var ErrTooLarge = errors.New("the document is too large")

func encode(doc any) ([]byte, error) {
	var out bytes.Buffer
	zip := gzip.NewWriter(&out)
	var plain counter
	if err := json.NewEncoder(io.MultiWriter(zip, &plain)).Encode(doc); err != nil {
		return nil, fmt.Errorf("encode the document: %w", err)
	}
	if err := zip.Close(); err != nil {
		return nil, err
	}
	if plain > 8*MaxBytes { // no replica would read it
		return nil, fmt.Errorf("%w: %d bytes, at most %d", ErrTooLarge, plain, 8*MaxBytes)
	}
	if out.Len() > MaxBytes {
		return nil, fmt.Errorf("%w: %d bytes compressed, at most %d", ErrTooLarge, out.Len(), MaxBytes)
	}
	return out.Bytes(), nil
}

// counter counts what is written to it.
type counter int

func (c *counter) Write(p []byte) (int, error) {
	*c += counter(len(p))
	return len(p), nil
}

func decode(raw []byte, format string, doc any) error {
	if len(raw) > 8*MaxBytes {
		return refuse("Undecodable", "%w: %d bytes", ErrTooLarge, len(raw))
	}
	if bytes.HasPrefix(raw, []byte{0x1f, 0x8b}) {
		plain, err := unzip(raw)
		if err != nil {
			return refuse("Undecodable", "not a complete gzip document: %w", err)
		}
		raw = plain
	}
	var probe struct {
		Format string `json:"format"`
	}
	if err := json.NewDecoder(bytes.NewReader(raw)).Decode(&probe); err != nil {
		return refuse("Undecodable", "not JSON: %w", redactOffset(err))
	}
	if probe.Format != format {
		return refuse("WrongFormat", "format %q, this build reads %q", clip(probe.Format), format)
	}
	strict := json.NewDecoder(bytes.NewReader(raw))
	strict.DisallowUnknownFields()
	if err := strict.Decode(doc); err != nil {
		return refuse("Undecodable", "%w", redactOffset(err))
	}
	if _, err := strict.Token(); !errors.Is(err, io.EOF) {
		return refuse("Undecodable", "something follows the document")
	}
	return nil
}

func unzip(raw []byte) ([]byte, error) {
	zip, err := gzip.NewReader(bytes.NewReader(raw))
	if err != nil {
		return nil, err
	}
	plain, err := io.ReadAll(io.LimitReader(zip, 8*MaxBytes+1))
	if err != nil {
		return nil, err
	}
	if len(plain) > 8*MaxBytes {
		return nil, ErrTooLarge
	}
	return plain, nil
}

// peekRevision reads the revision of a document that was refused, 0 if it cannot be told.
func peekRevision(raw []byte) int64 {
	if bytes.HasPrefix(raw, []byte{0x1f, 0x8b}) {
		raw, _ = unzip(raw)
	}
	var probe Header
	_ = json.Unmarshal(raw, &probe)
	return probe.Revision
}
