package main

import (
	"fmt"
	"strconv"
)

// app is the host that the users call through the proxy.
const app = "app.example.com"

// post is a request with a JSON body as a proxy forwards it. client is the user's address: the load comes from loopback,
// a trusted proxy, so each user is limited alone.
func post(to []byte, path, client, body string) []byte {
	to = append(to, "POST "...)
	to = append(to, path...)
	to = append(to, " HTTP/1.1\r\nHost: "+app+"\r\nX-Forwarded-For: "...)
	to = append(to, client...)
	to = append(to, "\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64)\r\nAccept: application/json\r\nContent-Type: application/json\r\nContent-Length: "...)
	to = strconv.AppendInt(to, int64(len(body)), 10)
	to = append(to, "\r\n\r\n"...)
	return append(to, body...)
}

func loginRequest(to []byte, client, name string) []byte {
	return post(to, "/auth/login", client, `{"username":"`+name+`","password":"`+password+`"}`)
}

func refreshRequest(to []byte, client, refresh string) []byte {
	return post(to, "/auth/refresh", client, `{"refresh_token":"`+refresh+`"}`)
}

func logoutRequest(to []byte, client, refresh string) []byte {
	return post(to, "/auth/logout", client, `{"refresh_token":"`+refresh+`"}`)
}

// checkRequest is the sub-request of nginx's auth_request: docs/ingress/nginx.md has the configuration that sends it.
func checkRequest(to []byte, client, access string) []byte {
	to = append(to, "GET /authz/nginx/-/default HTTP/1.1\r\nHost: "+app+"\r\nX-Original-Method: GET\r\nX-Original-URL: https://"+app+"/orders/17\r\nX-Forwarded-For: "...)
	to = append(to, client...)
	to = append(to, "\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64)\r\nAccept: application/json\r\nAuthorization: Bearer "...)
	to = append(to, access...)
	return append(to, "\r\n\r\n"...)
}

// pair is what a user holds.
type pair struct{ access, refresh string }

// readPair takes the tokens out of the answer to a login or a refresh.
func readPair(a answer) (pair, error) {
	p := pair{member(a.body, "access_token"), member(a.body, "refresh_token")}
	if a.status != 200 || p.access == "" || p.refresh == "" {
		return pair{}, refused(a)
	}
	return p, nil
}

// refused describes an answer that is not the one hoped for: its status and code, never a token.
func refused(a answer) error {
	return fmt.Errorf("status %d, code %q", a.status, member(a.body, "code"))
}

// address is a client's IPv4 address: one for each number.
func address(number int) string {
	return fmt.Sprintf("10.%d.%d.%d", number>>16&255, number>>8&255, number&255)
}
