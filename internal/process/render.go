package process

import (
	"fmt"
	"log/slog"
	"reflect"
	"slices"
	"strings"
)

const (
	// maxRendered is how much of a message or a state is shown, in bytes: a log line is read by people.
	maxRendered = 2 << 10

	// maxNested is how deep it is looked into: a slice that holds itself has no end, and fmt ends the program over it.
	maxNested = 100
)

// Render gives the text of a message or a state for people: as %+v prints it, cut after 2 KiB. Wherever in it there is a
// slog.LogValuer, what that gives is shown in its place, so that secrets can be kept out. fmt does not know it, and calls no
// method of what stands in an unexported field, where most of a state is: nobody can there, so of a LogValuer the type is
// shown. Keys of a map are in the order of their texts.
func Render(v any) (text string) {
	defer func() {
		if recover() != nil {
			text = fmt.Sprintf("(a %T that cannot be printed)", v)
		}
	}()
	r := &renderer{}
	r.print(reflect.ValueOf(v), 0)
	if !r.full() {
		return r.out.String()
	}
	return strings.ToValidUTF8(r.out.String()[:maxRendered], "") + "…" // no half of a character
}

// renderer writes until it is full.
type renderer struct{ out strings.Builder }

func (r *renderer) full() bool { return r.out.Len() > maxRendered }

// print writes a value. Only one at depth 0 is shown where a pointer leads, as by fmt: further down that may be a circle.
func (r *renderer) print(v reflect.Value, depth int) {
	if v.Kind() == reflect.Interface {
		v = v.Elem()
	}
	switch {
	case !v.IsValid():
		r.out.WriteString("<nil>")
	case depth > maxNested:
		r.out.WriteString("…")
	case v.Type().Implements(reflect.TypeFor[slog.LogValuer]()):
		r.printHiding(v, depth)
	case saysItself(v):
		_, _ = fmt.Fprintf(&r.out, "%+v", v)
	default:
		r.printParts(v, depth)
	}
}

// printHiding writes a slog.LogValuer.
func (r *renderer) printHiding(v reflect.Value, depth int) {
	switch {
	case v.Kind() == reflect.Pointer && v.IsNil():
		r.out.WriteString("<nil>")
	case v.CanInterface():
		r.printLogged(slog.AnyValue(v.Interface()), depth)
	default:
		_, _ = fmt.Fprintf(&r.out, "(a %s)", v.Type())
	}
}

// printLogged writes what a slog.LogValuer gives: a group may hold more of them.
func (r *renderer) printLogged(v slog.Value, depth int) {
	v = v.Resolve()
	if v.Kind() != slog.KindGroup {
		r.print(reflect.ValueOf(v.Any()), depth)
		return
	}
	group := v.Group()
	r.list("[", len(group), "]", func(i int) {
		r.out.WriteString(group[i].Key + "=")
		r.printLogged(group[i].Value, depth+1)
	})
}

// saysItself reports whether fmt asks the value how to print it.
func saysItself(v reflect.Value) bool {
	if !v.CanInterface() {
		return false
	}
	switch v.Interface().(type) {
	case fmt.Formatter, fmt.Stringer, error:
		return true
	}
	return false
}

// printParts writes what a value consists of; fmt writes what has no parts.
func (r *renderer) printParts(v reflect.Value, depth int) {
	switch v.Kind() {
	case reflect.Struct:
		r.list("{", v.NumField(), "}", func(i int) {
			r.out.WriteString(v.Type().Field(i).Name + ":")
			r.print(v.Field(i), depth+1)
		})
	case reflect.Slice, reflect.Array:
		r.list("[", v.Len(), "]", func(i int) { r.print(v.Index(i), depth+1) })
	case reflect.Map:
		entries := entriesOf(v, depth)
		r.list("map[", len(entries), "]", func(i int) {
			r.out.WriteString(entries[i].key + ":")
			r.print(entries[i].value, depth+1)
		})
	case reflect.Pointer:
		r.printPointer(v, depth)
	default:
		_, _ = fmt.Fprintf(&r.out, "%+v", v)
	}
}

func (r *renderer) printPointer(v reflect.Value, depth int) {
	switch to := v.Elem(); {
	case !to.IsValid():
		r.out.WriteString("<nil>")
	case depth == 0 && slices.Contains([]reflect.Kind{reflect.Struct, reflect.Slice, reflect.Array, reflect.Map}, to.Kind()):
		r.out.WriteString("&")
		r.print(to, depth+1)
	default:
		_, _ = fmt.Fprintf(&r.out, "%#x", v.Pointer())
	}
}

// mapEntry is an entry of a map, with the text of its key.
type mapEntry struct {
	key   string
	value reflect.Value
}

// entriesOf gives them in the order of their keys. The values come later, one by one until there is enough: they may be maps again.
func entriesOf(v reflect.Value, depth int) []mapEntry {
	entries := make([]mapEntry, 0, v.Len())
	for e := v.MapRange(); e.Next(); {
		r := &renderer{}
		r.print(e.Key(), depth+1)
		entries = append(entries, mapEntry{r.out.String(), e.Value()})
	}
	slices.SortFunc(entries, func(a, b mapEntry) int { return strings.Compare(a.key, b.key) })
	return entries
}

// list writes n parts, with a space in between.
func (r *renderer) list(begin string, n int, end string, part func(i int)) {
	r.out.WriteString(begin)
	for i := 0; i < n && !r.full(); i++ {
		if i > 0 {
			r.out.WriteByte(' ')
		}
		part(i)
	}
	r.out.WriteString(end)
}
