package agent

import "strings"

// expand replaces $(NAME) by its value as the kubelet does: an unknown name stays as it is written,
// $$ is a literal $ (so $$(NAME) becomes $(NAME)), and the result is not expanded again.
func expand(s string, lookup func(string) (string, bool)) string {
	if !strings.Contains(s, "$") {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] != '$' || i+1 == len(s) {
			b.WriteByte(s[i])
			continue
		}
		switch s[i+1] {
		case '$':
			b.WriteByte('$')
			i++
		case '(':
			end := strings.IndexByte(s[i:], ')')
			if end < 0 {
				b.WriteString(s[i:])
				return b.String()
			}
			reference := s[i : i+end+1]
			if value, ok := lookup(reference[2 : len(reference)-1]); ok {
				b.WriteString(value)
			} else {
				b.WriteString(reference)
			}
			i += end
		default:
			b.WriteByte('$')
		}
	}
	return b.String()
}
