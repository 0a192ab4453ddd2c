// Command apidoc writes docs/api-reference.md from the CRDs: what kubectl explain tells, on one page.
package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"sigs.k8s.io/yaml"
)

const page = "docs/api-reference.md"

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "apidoc:", err)
		os.Exit(1)
	}
}

func run() error {
	files, err := filepath.Glob("config/crd/bases/*.yaml")
	if err != nil || len(files) == 0 {
		return fmt.Errorf("no CRDs in config/crd/bases: run it from the root of the repository (%w)", err)
	}
	var out bytes.Buffer
	out.WriteString(`# API reference

Group ` + "`keyturn.dev`, version `v1alpha1`" + `. Generated from the types in ` + "`api/v1alpha1`" + ` by ` + "`make generate`" + `: the same text as
` + "`kubectl explain`" + `, on one page.
`)
	for _, file := range files {
		raw, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		var crd apiextensionsv1.CustomResourceDefinition
		if err := yaml.Unmarshal(raw, &crd); err != nil {
			return fmt.Errorf("%s: %w", file, err)
		}
		writeKind(&out, &crd)
	}
	return os.WriteFile(page, out.Bytes(), 0o644)
}

func writeKind(out *bytes.Buffer, crd *apiextensionsv1.CustomResourceDefinition) {
	version := crd.Spec.Versions[0]
	schema := version.Schema.OpenAPIV3Schema
	fmt.Fprintf(out, "\n## %s (`%s`)\n\n%s\n", crd.Spec.Names.Kind, strings.Join(crd.Spec.Names.ShortNames, "`, `"), schema.Description)
	out.WriteString("\n| column | shows |\n|---|---|\n")
	for _, c := range version.AdditionalPrinterColumns {
		name := "`" + c.Name + "`"
		if c.Priority > 0 {
			name += " (wide)"
		}
		fmt.Fprintf(out, "| %s | %s |\n", name, cell(c.Description))
	}
	for _, part := range []string{"spec", "status"} {
		properties := schema.Properties[part]
		fmt.Fprintf(out, "\n### %s.%s\n\n%s\n\n| field | type | default | meaning |\n|---|---|---|---|\n", crd.Spec.Names.Kind, part, oneLine(properties.Description))
		writeFields(out, "", &properties)
	}
}

// writeFields lists the fields of an object, then those of its objects, by their path.
func writeFields(out *bytes.Buffer, prefix string, schema *apiextensionsv1.JSONSchemaProps) {
	for _, name := range slices.Sorted(maps.Keys(schema.Properties)) {
		field := schema.Properties[name]
		path := prefix + name
		required := ""
		if slices.Contains(schema.Required, name) {
			required = " **required**"
		}
		if name == "conditions" && field.Items != nil {
			fmt.Fprintf(out, "| `conditions[]` | Condition | | %s |\n", cell(field.Description))
			continue
		}
		kind, inner, suffix := typeOf(&field)
		fmt.Fprintf(out, "| `%s` | %s%s | %s | %s |\n", path+suffix, kind, required, defaultOf(&field), cell(field.Description))
		if inner != nil {
			writeFields(out, path+suffix+".", inner)
		}
	}
}

// typeOf names the type of a field and returns the object whose fields follow, with what its path adds.
func typeOf(field *apiextensionsv1.JSONSchemaProps) (kind string, inner *apiextensionsv1.JSONSchemaProps, suffix string) {
	switch {
	case field.Type == "array" && field.Items != nil && field.Items.Schema != nil:
		item, inner, _ := typeOf(field.Items.Schema)
		return "list of " + item, inner, "[]"
	case field.Type == "object" && len(field.Properties) > 0:
		return "object", field, ""
	case field.Type == "object":
		return "map", nil, ""
	case len(field.Enum) > 0:
		var values []string
		for _, v := range field.Enum {
			values = append(values, "`"+strings.Trim(string(v.Raw), `"`)+"`")
		}
		return strings.Join(values, " "), nil, ""
	case field.XIntOrString:
		return "quantity", nil, ""
	case field.Format == "date-time":
		return "time", nil, ""
	case strings.HasPrefix(field.Pattern, "^([0-9]+(\\.[0-9]+)?(ms|s|m|h))"):
		return "duration", nil, ""
	default:
		return field.Type, nil, ""
	}
}

func defaultOf(field *apiextensionsv1.JSONSchemaProps) string {
	if field.Default == nil || field.Type == "object" {
		return ""
	}
	var v any
	if err := json.Unmarshal(field.Default.Raw, &v); err != nil {
		return ""
	}
	return "`" + strings.Trim(string(field.Default.Raw), `"`) + "`"
}

func oneLine(text string) string { return strings.Join(strings.Fields(text), " ") }

func cell(text string) string { return strings.ReplaceAll(oneLine(text), "|", "\\|") }
