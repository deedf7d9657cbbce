package sqlite

import (
	"slices"
	"strconv"
)

// kinds are the kinds of the runners' tasks by the numbers that stand for them in the file, from 1 without a gap. A number is
// for ever: the list only grows.
type kinds struct {
	names []kindName
	ids   map[string]map[string]int64 // by runner and kind
}

type kindName struct{ runner, kind string }

func (k *kinds) add(names []kindName) {
	for _, name := range names {
		k.names = append(k.names, name)
		if k.ids == nil {
			k.ids = map[string]map[string]int64{}
		}
		if k.ids[name.runner] == nil {
			k.ids[name.runner] = map[string]int64{}
		}
		k.ids[name.runner][name.kind] = int64(len(k.names))
	}
}

// remove takes names away that were the last to be added, if they were.
func (k *kinds) remove(names []kindName) {
	for _, name := range slices.Backward(names) {
		if _, ok := k.ids[name.runner][name.kind]; ok {
			delete(k.ids[name.runner], name.kind)
			k.names = slices.Clip(k.names[:len(k.names)-1]) // a reader may have the longer list
		}
	}
}

// matching gives the numbers of a runner, or of all runners if that is empty, and of a kind, or of all.
func (k *kinds) matching(runner, kind string) (ids []int64) {
	if runner != "" {
		return matchingKind(k.ids[runner], kind, nil)
	}
	for _, ofRunner := range k.ids {
		ids = matchingKind(ofRunner, kind, ids)
	}
	return ids
}

func matchingKind(kinds map[string]int64, kind string, ids []int64) []int64 {
	if kind != "" {
		if id, ok := kinds[kind]; ok {
			ids = append(ids, id)
		}
		return ids
	}
	for _, id := range kinds {
		ids = append(ids, id)
	}
	return ids
}

// filter is a choice of kinds for a statement, where it is one value: a list in JSON, which json_each makes rows of; nil is all.
type filter struct {
	all bool
	ids []int64 // sorted
}

func (k *kinds) filter(runner, kind string) filter {
	if runner == "" && kind == "" {
		return filter{all: true}
	}
	ids := k.matching(runner, kind)
	slices.Sort(ids)
	return filter{ids: ids}
}

func (f filter) has(kind int64) bool {
	if f.all {
		return true
	}
	_, found := slices.BinarySearch(f.ids, kind)
	return found
}

func (f filter) value() any {
	if f.all {
		return nil
	}
	return jsonList(f.ids)
}

func jsonList(numbers []int64) string {
	b := []byte{'['}
	for i, n := range numbers {
		if i > 0 {
			b = append(b, ',')
		}
		b = strconv.AppendInt(b, n, 10)
	}
	return string(append(b, ']'))
}
