package plugin

import (
	"encoding/json"
	"fmt"

	"sigs.k8s.io/yaml"
)

// print writes a report for machines, or the text that draw makes of it.
func (s *Session) print(report any, draw func() string) error {
	out, err := s.text(report, draw)
	if err != nil {
		return err
	}
	_, err = fmt.Fprint(s.Out, out)
	return err
}

func (s *Session) text(report any, draw func() string) (string, error) {
	switch s.Format {
	case JSON:
		raw, err := json.MarshalIndent(report, "", "  ")
		return string(raw) + "\n", err
	case YAML:
		raw, err := yaml.Marshal(report)
		return string(raw), err
	default:
		return draw(), nil
	}
}
