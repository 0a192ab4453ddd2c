package agent

import (
	"path"
	"regexp"
	"slices"
	"strings"
)

// mountPoint says that the path inside the container is the directory (or file) host on this machine.
type mountPoint struct{ inside, host string }

// rewriteMounts replaces each mount path in s by its host path, the longest first. A mount path counts
// only where it stands as a path of its own: not as the tail or the middle of a longer path (/var/etc
// and /etcetera do not contain /etc), but also behind "=", ":" or "file://".
func rewriteMounts(s string, mounts []mountPoint) string {
	mounts = slices.Clone(mounts)
	slices.SortFunc(mounts, func(a, b mountPoint) int { return len(b.inside) - len(a.inside) })
	var b strings.Builder
	for i := 0; i < len(s); {
		if s[i] == '/' && startsPath(s, i) {
			if m, ok := mountAt(s[i:], mounts); ok {
				b.WriteString(m.host)
				i += len(path.Clean(m.inside))
				continue
			}
		}
		b.WriteByte(s[i])
		i++
	}
	return b.String()
}

func startsPath(s string, i int) bool {
	return i == 0 || !pathByte(s[i-1]) && s[i-1] != '/' || strings.HasSuffix(s[:i], "file://")
}

func mountAt(s string, mounts []mountPoint) (mountPoint, bool) {
	for _, m := range mounts {
		inside := path.Clean(m.inside)
		if inside == "/" || !strings.HasPrefix(s, inside) {
			continue
		}
		if rest := s[len(inside):]; rest == "" || !pathByte(rest[0]) {
			return m, true
		}
	}
	return mountPoint{}, false
}

// pathByte says whether c can be part of a file's name, as far as mount paths are concerned.
func pathByte(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '.' || c == '_' || c == '-'
}

var serviceName = regexp.MustCompile(`\b([a-z0-9](?:[-a-z0-9]*[a-z0-9])?)\.([a-z0-9](?:[-a-z0-9]*[a-z0-9])?)\.svc(\.cluster\.local)?\b\.?`)

// rewriteServices replaces the names of Services in a value by what lookup gives. name is the variable's
// name, or empty for an argument, which carries its flag's name itself.
func rewriteServices(name, value string, lookup func(namespace, name string) (string, bool)) string {
	if name == "" {
		name, _, _ = strings.Cut(value, "=")
	}
	if n := strings.ToLower(strings.ReplaceAll(name, "_", "-")); strings.HasSuffix(n, "server-name") {
		return value
	}
	found := serviceName.FindAllStringSubmatchIndex(value, -1)
	if found == nil {
		return value
	}
	var b strings.Builder
	last := 0
	for _, m := range found {
		// A longer name (a pod of a StatefulSet, a name in another domain) is not the Service's.
		longer := m[0] > 0 && value[m[0]-1] == '.' || m[1] < len(value) && (pathByte(value[m[1]]))
		if longer {
			continue
		}
		if address, ok := lookup(value[m[4]:m[5]], value[m[2]:m[3]]); ok {
			b.WriteString(value[last:m[0]])
			b.WriteString(address)
			last = m[1]
		}
	}
	b.WriteString(value[last:])
	return b.String()
}

// servicesIn lists the Services that a value names, as rewriteServices sees them.
func servicesIn(name, value string) (found [][2]string) {
	rewriteServices(name, value, func(namespace, service string) (string, bool) {
		found = append(found, [2]string{namespace, service})
		return "", false
	})
	return found
}
