package legacyapp

import (
	"crypto/subtle"
	"encoding/json"
	"errors"
	"html/template"
	"net/http"
	"time"
)

// maxBody bounds what is sent to the application.
const maxBody = 64 << 10

func read(w http.ResponseWriter, r *http.Request, question any) bool {
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxBody)).Decode(question); err != nil {
		http.Error(w, "not the JSON that belongs here", http.StatusBadRequest)
		return false
	}
	return true
}

func write(w http.ResponseWriter, status int, answer any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(answer) // who has gone away needs no answer
}

func broken(w http.ResponseWriter) {
	write(w, http.StatusServiceUnavailable, map[string]string{"error": "the session store does not answer"})
}

// trusted is for Keyturn only.
func (a *Application) trusted(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if a.options.Token != "" && subtle.ConstantTimeCompare([]byte(r.Header.Get("Authorization")), []byte("Bearer "+a.options.Token)) != 1 {
			w.Header().Set("WWW-Authenticate", `Bearer realm="legacy"`)
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		next(w, r)
	}
}

func (a *Application) login(w http.ResponseWriter, r *http.Request) {
	var q struct{ Username, Password string }
	if !read(w, r, &q) {
		return
	}
	for _, u := range a.options.Users {
		if u.Name != q.Username || subtle.ConstantTimeCompare([]byte(u.Password), []byte(q.Password)) != 1 {
			continue
		}
		cookie, _, err := a.create(r.Context(), passportUser{u.ID, u.Name, u.Role})
		if err != nil {
			broken(w)
			return
		}
		http.SetCookie(w, cookie)
		write(w, http.StatusOK, map[string]string{"user_id": u.ID, "role": u.Role})
		return
	}
	write(w, http.StatusUnauthorized, map[string]string{"error": "wrong name or password"})
}

func (a *Application) logout(w http.ResponseWriter, r *http.Request) {
	if c, err := r.Cookie(Cookie); err == nil && a.end(r.Context(), c.Value) != nil {
		broken(w)
		return
	}
	http.SetCookie(w, &http.Cookie{Name: Cookie, Path: "/", MaxAge: -1, HttpOnly: true, Secure: true})
	w.WriteHeader(http.StatusNoContent)
}

func (a *Application) whoAmI(w http.ResponseWriter, r *http.Request) {
	value := ""
	if c, err := r.Cookie(Cookie); err == nil {
		value = c.Value
	}
	a.tell(w, r, value)
}

func (a *Application) introspect(w http.ResponseWriter, r *http.Request) {
	var q struct{ Session string }
	if read(w, r, &q) {
		a.tell(w, r, q.Session)
	}
}

func (a *Application) tell(w http.ResponseWriter, r *http.Request, cookie string) {
	id, d, err := a.find(r.Context(), cookie)
	if err == nil {
		var left time.Duration
		if left, err = a.store.PTTL(r.Context(), key(id)).Result(); err == nil && left > 0 {
			u := d.Passport.User
			if a.garbled(u.ID) {
				write(w, http.StatusOK, map[string]any{"active": true, "user_id": ""})
				return
			}
			write(w, http.StatusOK, map[string]any{
				"active": true, "user_id": u.ID, "role": u.Role, "claims": map[string]string{"name": u.Name},
				"expires": time.Now().Add(left).Unix(),
			})
			return
		}
	}
	if err != nil && !errors.Is(err, errNone) {
		broken(w)
		return
	}
	write(w, http.StatusOK, map[string]any{"active": false})
}

// issue makes a session, or extends the one that is shown.
func (a *Application) issue(w http.ResponseWriter, r *http.Request) {
	var q struct {
		UserID              string `json:"user_id"`
		Name, Role, Session string
	}
	if !read(w, r, &q) {
		return
	}
	var cookie *http.Cookie
	var expires time.Time
	var err error
	if q.Session != "" {
		cookie, expires, err = a.extend(r.Context(), q.Session)
	} else {
		cookie, expires, err = a.create(r.Context(), passportUser{q.UserID, q.Name, q.Role})
	}
	switch {
	case errors.Is(err, errNone):
		write(w, http.StatusGone, map[string]string{"error": "the session has ended"})
	case err != nil:
		broken(w)
	default:
		http.SetCookie(w, cookie)
		write(w, http.StatusOK, map[string]int64{"expires": expires.Unix()})
	}
}

func (a *Application) revoke(w http.ResponseWriter, r *http.Request) {
	var q struct {
		UserID  string `json:"user_id"`
		Session string
	}
	if !read(w, r, &q) {
		return
	}
	var err error
	switch {
	case q.Session != "":
		err = a.end(r.Context(), q.Session)
	case q.UserID != "":
		err = a.endAll(r.Context(), q.UserID)
	}
	if err != nil {
		broken(w)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

var pageForm = template.Must(template.New("page").Parse(`<!doctype html>
<title>Legacy shop</title>
<h1>{{.Path}}</h1>
<p>{{if .User}}Hello <b id="user">{{.User}}</b>{{with .Role}}, <span id="role">{{.}}</span>{{end}}{{with .Method}}, by <span id="method">{{.}}</span>{{end}}.{{else}}Nobody is logged in.{{end}}</p>
`))

// page believes the headers: only the ingress reaches the application, and it takes a client's own away.
func page(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	_ = pageForm.Execute(w, struct{ Path, User, Role, Method string }{
		r.URL.Path, r.Header.Get("X-Auth-User"), r.Header.Get("X-Auth-Role"), r.Header.Get("X-Auth-Method"),
	})
}
