package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/keyturn/keyturn/hack/stage"
)

// renew is POST /auth/refresh, by body or by cookie.
func (c *caller) renew(ctx context.Context) (stage.Answer, bool) {
	body, headers := "{}", []string{"Sec-Fetch-Site", "same-origin"}
	if c.kind == apiClient {
		raw, _ := json.Marshal(map[string]string{"refresh_token": c.refresh})
		body, headers = string(raw), nil
	}
	answer, err := c.send(ctx, http.MethodPost, c.fleet.url+"/auth/refresh", body, headers...)
	c.fleet.refreshes.Add(1)
	return c.take("refresh", answer, err)
}

func (c *caller) exchange(ctx context.Context) (stage.Answer, bool) {
	answer, err := c.send(ctx, http.MethodPost, c.fleet.url+"/auth/session/exchange", "{}", "Sec-Fetch-Site", "same-origin")
	c.fleet.exchanges.Add(1)
	answer, ok := c.take("exchange", answer, err)
	if c.kind == apiClient && ok { // where cookies are set the exchange answers by cookies, and a program takes them out
		c.access, c.refresh = c.cookies[accessCookie], c.cookies[refreshCookie]
		delete(c.cookies, accessCookie)
		delete(c.cookies, refreshCookie)
	}
	return answer, ok
}

func (c *caller) take(what string, answer stage.Answer, err error) (stage.Answer, bool) {
	if err != nil || answer.Status != http.StatusOK {
		if err != nil || answer.Status != http.StatusUnauthorized {
			c.fleet.note(fmt.Sprintf("%s: %d %s %v", what, answer.Status, answer.Code(), err))
		}
		return answer, false
	}
	var tokens stage.Tokens
	if err := answer.Decode(&tokens); err != nil {
		c.fleet.note(what + ": " + err.Error())
		return answer, false
	}
	if tokens.Refresh != "" {
		c.access, c.refresh = tokens.Access, tokens.Refresh
	}
	return answer, true
}

// send keeps cookies as a browser does. That they are marked Secure does not matter on a loopback address.
func (c *caller) send(ctx context.Context, method, address, body string, headers ...string) (stage.Answer, error) {
	request, err := http.NewRequestWithContext(ctx, method, address, strings.NewReader(body))
	if err != nil {
		return stage.Answer{}, err
	}
	if body != "" {
		request.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i+1 < len(headers); i += 2 {
		request.Header.Set(headers[i], headers[i+1])
	}
	bearer := c.kind == apiClient && c.refresh != ""
	for name, value := range c.cookies {
		if !bearer && (name != refreshCookie || strings.HasPrefix(request.URL.Path, "/auth/")) {
			request.AddCookie(&http.Cookie{Name: name, Value: value})
		}
	}
	response, err := c.http.Do(request)
	if err != nil {
		return stage.Answer{}, err
	}
	defer response.Body.Close() //nolint:errcheck // nothing is written
	for _, cookie := range response.Cookies() {
		if cookie.MaxAge < 0 {
			delete(c.cookies, cookie.Name)
		} else {
			c.cookies[cookie.Name] = cookie.Value
		}
	}
	raw, err := io.ReadAll(io.LimitReader(response.Body, 1<<20))
	return stage.Answer{Status: response.StatusCode, Header: response.Header, Body: bytes.TrimSpace(raw)}, err
}
