package sqlite_test

import (
	"bytes"
	"os"
	"testing"
)

// FuzzOpen overwrites a part of a small database and cuts its end off. A file comes from outside: whatever it holds,
// Open must say what is wrong, or what it opens must answer.
func FuzzOpen(f *testing.F) {
	path, id := filled(f)
	whole, err := os.ReadFile(path)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(uint32(0), []byte("not SQLite"), uint32(0))          // the name of the format
	f.Add(uint32(16), []byte{0x10, 0x01}, uint32(0))           // the size of a page
	f.Add(uint32(18), []byte{1, 1}, uint32(0))                 // no write-ahead log
	f.Add(uint32(28), []byte{0, 0, 0, 1}, uint32(0))           // the number of pages
	f.Add(uint32(60), []byte{0, 0, 0, 9}, uint32(0))           // a version to come
	f.Add(uint32(60), []byte{0x80, 0, 0, 0}, uint32(0))        // a version below zero
	f.Add(uint32(68), []byte{0, 0, 0, 9}, uint32(0))           // our application id
	f.Add(uint32(100), bytes.Repeat([]byte{13}, 8), uint32(0)) // the schema's page
	f.Add(uint32(4096), []byte{5, 0, 0, 0, 0}, uint32(0))      // a table's root
	f.Add(uint32(0), []byte{}, uint32(4096))                   // a page less
	f.Add(uint32(0), []byte{}, uint32(len(whole)-1))           // a byte
	f.Fuzz(func(t *testing.T, offset uint32, patch []byte, cut uint32) {
		content := bytes.Clone(whole)
		if int(offset) < len(content) {
			copy(content[offset:], patch)
		}
		content = content[:len(content)-min(int(cut), len(content))]
		openDamaged(t, content, id)
	})
}
