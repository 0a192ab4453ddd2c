package plugin

import "strings"

// cell is one field of a table.
type cell struct {
	text string
	tone tone
}

// table aligns columns. Numbers stand to the right.
type table struct {
	heads  []string
	right  map[int]bool
	rows   [][]cell
	indent string
}

const (
	columnGap = "  "
	nothing   = "-"
)

func (t *table) add(cells ...cell) { t.rows = append(t.rows, cells) }

func text(s string) cell { return cell{text: s} }

func toned(s string, t tone) cell { return cell{text: s, tone: t} }

func (t *table) String(s Screen) string {
	widths := make([]int, len(t.heads))
	for i, head := range t.heads {
		widths[i] = columnsOf(head)
	}
	for _, row := range t.rows {
		for i := range row {
			if row[i].text = clean(row[i].text); row[i].text == "" {
				row[i].text = nothing
			}
			widths[i] = max(widths[i], columnsOf(row[i].text))
		}
	}
	var b strings.Builder
	heads := make([]cell, len(t.heads))
	for i, head := range t.heads {
		heads[i] = toned(head, faint)
	}
	for _, row := range append([][]cell{heads}, t.rows...) {
		b.WriteString(t.indent)
		for i, c := range row {
			pad := strings.Repeat(" ", widths[i]-columnsOf(c.text))
			painted := s.paint(c.tone, c.text)
			switch {
			case t.right[i]:
				b.WriteString(pad + painted)
			case i == len(row)-1:
				b.WriteString(painted)
			default:
				b.WriteString(painted + pad)
			}
			if i < len(row)-1 {
				b.WriteString(columnGap)
			}
		}
		b.WriteString("\n")
	}
	return b.String()
}

// drop takes a column out.
func (t *table) drop(column int) {
	t.heads = append(t.heads[:column:column], t.heads[column+1:]...)
	for i, row := range t.rows {
		t.rows[i] = append(row[:column:column], row[column+1:]...)
	}
}
