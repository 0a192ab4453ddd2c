package stage

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"time"
)

// Tokens is what login and refresh answer.
type Tokens struct {
	Access    string `json:"access_token"`
	Refresh   string `json:"refresh_token"`
	Type      string `json:"token_type"`
	ExpiresIn int    `json:"expires_in"`
}

// Answer is what a user got.
type Answer struct {
	Status int
	Header http.Header
	Body   []byte
}

// Code is the stable code of a problem document, empty if there is none.
func (a Answer) Code() string {
	var problem struct {
		Code string `json:"code"`
	}
	_ = json.Unmarshal(a.Body, &problem)
	return problem.Code
}

// Decode reads the body.
func (a Answer) Decode(v any) error {
	if err := json.Unmarshal(a.Body, v); err != nil {
		return fmt.Errorf("status %d, body is no JSON: %w", a.Status, err)
	}
	return nil
}

// User talks to nginx as an application's client does. It is safe for concurrent use.
type User struct {
	url    string
	client *http.Client
}

// User returns a client with connections of its own.
func (s *Stage) User() *User { return newUser(s.URL) }

func newUser(url string) *User {
	return &User{url: url, client: &http.Client{
		Timeout:   20 * time.Second,
		Transport: &http.Transport{MaxIdleConnsPerHost: 128, DisableCompression: true},
	}}
}

// Forget closes the connections that are not in use: the next request makes a new one.
func (u *User) Forget() { u.client.CloseIdleConnections() }

// Call asks the protected application. Each header is a name and a value.
func (u *User) Call(ctx context.Context, path string, headers ...string) (Answer, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, u.url+path, nil)
	if err != nil {
		return Answer{}, err
	}
	for i := 0; i+1 < len(headers); i += 2 {
		request.Header.Add(headers[i], headers[i+1])
	}
	return u.do(request)
}

// CallAs asks the protected application with an access token.
func (u *User) CallAs(ctx context.Context, path, access string) (Answer, error) {
	return u.Call(ctx, path, "Authorization", "Bearer "+access)
}

// Post sends JSON to an endpoint of the token service.
func (u *User) Post(ctx context.Context, path string, body any) (Answer, error) {
	raw, err := json.Marshal(body)
	if err != nil {
		return Answer{}, err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, u.url+path, bytes.NewReader(raw))
	if err != nil {
		return Answer{}, err
	}
	request.Header.Set("Content-Type", "application/json")
	return u.do(request)
}

// Login logs a user in.
func (u *User) Login(ctx context.Context, name, password string) (Tokens, Answer, error) {
	return u.tokens(ctx, "/auth/login", map[string]string{"username": name, "password": password})
}

// Refresh trades a refresh token for a new pair.
func (u *User) Refresh(ctx context.Context, refresh string) (Tokens, Answer, error) {
	return u.tokens(ctx, "/auth/refresh", map[string]string{"refresh_token": refresh})
}

// Logout ends the session of a refresh token.
func (u *User) Logout(ctx context.Context, refresh string) (Answer, error) {
	return u.Post(ctx, "/auth/logout", map[string]string{"refresh_token": refresh})
}

func (u *User) tokens(ctx context.Context, path string, body any) (Tokens, Answer, error) {
	answer, err := u.Post(ctx, path, body)
	if err != nil || answer.Status != http.StatusOK {
		return Tokens{}, answer, err
	}
	var tokens Tokens
	return tokens, answer, answer.Decode(&tokens)
}

func (u *User) do(request *http.Request) (Answer, error) {
	response, err := u.client.Do(request)
	if err != nil {
		return Answer{}, err
	}
	defer response.Body.Close() //nolint:errcheck // nothing is written
	body, err := io.ReadAll(io.LimitReader(response.Body, 1<<20))
	return Answer{Status: response.StatusCode, Header: response.Header, Body: body}, err
}
