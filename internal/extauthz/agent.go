package extauthz

import "strings"

// agents are the families of programs, by a word of the User-Agent header. The first that fits counts, because browsers
// name each other.
var agents = [...]struct{ word, family string }{
	{"bot", "bot"}, {"spider", "bot"}, {"curl/", "curl"}, {"wget/", "wget"}, {"python", "python"}, {"aiohttp", "python"}, {"go-http-client", "go"},
	{"grpc-", "grpc"}, {"okhttp", "okhttp"}, {"java/", "java"}, {"apache-httpclient", "java"}, {"dart", "dart"}, {"axios", "node"}, {"node", "node"},
	{"undici", "node"}, {"php", "php"}, {"guzzle", "php"}, {"ruby", "ruby"}, {"faraday", "ruby"}, {"postman", "postman"}, {"cfnetwork", "apple"},
	{"edg", "edge"}, {"opr/", "opera"}, {"firefox", "firefox"}, {"fxios", "firefox"}, {"crios", "chrome"}, {"chrome", "chrome"}, {"safari", "safari"},
}

// agentFamily is one of a few words for a User-Agent header.
func agentFamily(header string) string {
	if header == "" {
		return "none"
	}
	lower := strings.ToLower(cut(header))
	for _, a := range agents {
		if strings.Contains(lower, a.word) {
			return a.family
		}
	}
	return "other"
}

// maxSegment is the longest first part of a path that is a name and not somebody's data.
const maxSegment = 32

// routeTemplate is the first part of a path, e.g. "/orders/*", or "/{value}/*" where it does not look like a name.
func routeTemplate(target string) string {
	path, _, _ := strings.Cut(target, "?")
	first, rest, more := strings.Cut(strings.TrimPrefix(path, "/"), "/")
	switch {
	case first == "":
		first = "/"
	case isName(first):
		first = "/" + first
	default:
		first = "/{value}"
	}
	if more && rest != "" {
		first += "/*"
	}
	return first
}

// isName tells whether a part of a path is letters, with a few digits at most.
func isName(s string) bool {
	digits := 0
	for i := range len(s) {
		switch c := s[i]; {
		case c >= '0' && c <= '9':
			digits++
		case !alphanumeric(c) && c != '-' && c != '_' && c != '.':
			return false
		}
	}
	return len(s) <= maxSegment && digits <= 3
}
