package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"strings"

	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	auth "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"github.com/lestrrat-go/jwx/v2/jwk" //nolint:depguard // what is compared with
	"github.com/lestrrat-go/jwx/v2/jwt" //nolint:depguard // what is compared with
	rpcstatus "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc"
)

// bareCheck is the least that grpc-go can do with the generated types: it reads a CheckRequest and always says OK. With a
// key set it is the simplest authorizer: it parses and verifies the token of every request by the library.
type bareCheck struct {
	auth.UnimplementedAuthorizationServer
	keys jwk.Set
}

var bareOK = &auth.CheckResponse{Status: &rpcstatus.Status{}, HttpResponse: &auth.CheckResponse_OkResponse{OkResponse: &auth.OkHttpResponse{}}}

func (b bareCheck) Check(_ context.Context, r *auth.CheckRequest) (*auth.CheckResponse, error) {
	if b.keys == nil {
		return bareOK, nil
	}
	user, good := b.user(r.GetAttributes().GetRequest().GetHttp().GetHeaders()["authorization"])
	if !good {
		return &auth.CheckResponse{Status: &rpcstatus.Status{Code: 16}, HttpResponse: &auth.CheckResponse_DeniedResponse{DeniedResponse: &auth.DeniedHttpResponse{Body: "invalid_token expired"}}}, nil
	}
	return &auth.CheckResponse{Status: &rpcstatus.Status{}, HttpResponse: &auth.CheckResponse_OkResponse{OkResponse: &auth.OkHttpResponse{
		Headers: []*core.HeaderValueOption{{Header: &core.HeaderValue{Key: "x-auth-user", Value: user}, AppendAction: core.HeaderValueOption_OVERWRITE_IF_EXISTS_OR_ADD}},
	}}}, nil
}

func (b bareCheck) user(authorization string) (string, bool) {
	raw, found := strings.CutPrefix(authorization, "Bearer ")
	if !found {
		return "", false
	}
	token, err := jwt.Parse([]byte(raw), jwt.WithKeySet(b.keys), jwt.WithIssuer(issuer), jwt.WithAudience(audience))
	if err != nil {
		return "", false
	}
	return token.Subject(), true
}

// playBareCheck serves it and says its address. With an argument, the file of a JWK set, it verifies.
func playBareCheck(out io.Writer, args []string) error {
	var check bareCheck
	if len(args) > 0 {
		raw, err := os.ReadFile(args[0])
		if err != nil {
			return err
		}
		if check.keys, err = jwk.Parse(raw); err != nil {
			return err
		}
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	server := grpc.NewServer()
	auth.RegisterAuthorizationServer(server, check)
	if _, err := fmt.Fprintln(out, listener.Addr()); err != nil {
		return err
	}
	return server.Serve(listener)
}
