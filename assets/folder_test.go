package assets_test

import (
	"io/fs"
	"net"
	"os"
	"sync"
	"syscall"
	"testing"

	"gocloud.dev/blob"
	"gocloud.dev/blob/fileblob"

	"github.com/taskrunner-go/taskrunner/assets"
	"github.com/taskrunner-go/taskrunner/messages"
)

func link(t testing.TB, target, path string) {
	t.Helper()
	if err := os.Symlink(target, path); err != nil {
		t.Fatal(err)
	}
}

// jail is a folder that moves may use, beside a secret that they may not.
type jail struct{ outside, in, to string }

func newJail(t testing.TB) jail {
	t.Helper()
	base := t.TempDir()
	j := jail{base + "/outside", base + "/in", base + "/to"}
	writeFile(t, j.outside+"/secret", "secret")
	for _, dir := range []string{j.in, j.to} {
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return j
}

func (j jail) mover(t testing.TB) *assets.Mover {
	return newMover(t, assets.Config{Allow: []string{"file://" + j.in, "file://" + j.to}}, j.in, j.to)
}

// The folder of one asset is kept open for the next. It must be the one that has the name then.
func TestAFolderThatIsReplaced(t *testing.T) {
	t.Parallel()
	j := newJail(t)
	m := j.mover(t)
	for _, name := range []string{"a", "b", "c", "d"} {
		writeFile(t, j.in+"/"+name, name)
	}
	put := func(name string) { move(t, m, "file://"+j.in+"/"+name, "file://"+j.to+"/sub/"+name, nil) }
	put("a")
	put("b")
	if err := os.Rename(j.to+"/sub", j.to+"/old"); err != nil {
		t.Fatal(err)
	}
	put("c") // makes it again
	if err := os.RemoveAll(j.to + "/sub"); err != nil {
		t.Fatal(err)
	}
	link(t, "old", j.to+"/sub")
	put("d")
	for _, name := range []string{"a", "b", "d"} {
		wantFile(t, j.to+"/old/"+name, name)
	}
	wantNoFile(t, j.to+"/old/c")
	if err := os.Remove(j.to + "/sub"); err != nil {
		t.Fatal(err)
	}
	link(t, j.outside, j.to+"/sub")
	wantVerb(t, fails(t, m, "file://"+j.in+"/a", "file://"+j.to+"/sub/a"), messages.VerbDiscard, assets.ErrNotAllowed)
	wantNoFile(t, j.outside+"/a")
}

func TestNoReadingOutOfAFolder(t *testing.T) {
	t.Parallel()
	j := newJail(t)
	writeFile(t, j.in+"/sub/good", "good")
	link(t, j.outside+"/secret", j.in+"/absolute")
	link(t, "../outside/secret", j.in+"/relative")
	link(t, "../outside", j.in+"/folder")
	link(t, "absolute", j.in+"/chain")
	link(t, "sub/../../outside/secret", j.in+"/winding")
	link(t, "/proc/self/root"+j.outside+"/secret", j.in+"/proc")
	link(t, "loop", j.in+"/loop")
	link(t, "sub/good", j.in+"/inside")
	link(t, "nothing", j.in+"/dangling")
	link(t, "/dev/zero", j.in+"/device")
	if err := syscall.Mkfifo(j.in+"/pipe", 0o644); err != nil {
		t.Fatal(err)
	}
	m := j.mover(t)
	for name, kind := range map[string]error{
		"absolute": assets.ErrNotAllowed, "relative": assets.ErrNotAllowed, "folder/secret": assets.ErrNotAllowed,
		"chain": assets.ErrNotAllowed, "winding": assets.ErrNotAllowed, "proc": assets.ErrNotAllowed, "device": assets.ErrNotAllowed,
		"loop": syscall.ELOOP, "dangling": fs.ErrNotExist, "missing": fs.ErrNotExist, "sub/good/below": syscall.ENOTDIR,
		"sub": assets.ErrNotAFile, "pipe": assets.ErrNotAFile,
	} {
		d := fails(t, m, "file://"+j.in+"/"+name, "file://"+j.to+"/x")
		if wantVerb(t, d, messages.VerbDiscard, kind); t.Failed() {
			t.Fatalf("reading %s", name)
		}
	}
	move(t, m, "file://"+j.in+"/inside", "file://"+j.to+"/inside", nil)
	wantFile(t, j.to+"/inside", "good")
	wantNoFile(t, j.to+"/x")
}

func TestNoWritingOutOfAFolder(t *testing.T) {
	t.Parallel()
	j := newJail(t)
	writeFile(t, j.in+"/a", "new")
	link(t, "../outside", j.to+"/folder")
	link(t, j.outside+"/secret", j.to+"/file")
	link(t, j.outside+"/fresh", j.to+"/dangling")
	link(t, j.outside+"/fresh.attrs", j.to+"/side.svg.attrs")
	writeFile(t, j.to+"/taken/x", "x")
	writeFile(t, j.to+"/plain", "x")
	m := j.mover(t)
	for name, kind := range map[string]error{
		"folder/secret": assets.ErrNotAllowed, "folder/sub/new": assets.ErrNotAllowed, "taken": assets.ErrNotAFile, "plain/below": syscall.ENOTDIR,
	} {
		d := fails(t, m, "file://"+j.in+"/a", "file://"+j.to+"/"+name)
		wantVerb(t, d, messages.VerbDiscard, kind)
	}
	// Somebody made a link for a purpose, and a pipe or a socket even more so: only a file is replaced.
	if err := syscall.Mkfifo(j.to+"/pipe", 0o644); err != nil {
		t.Fatal(err)
	}
	socket, err := new(net.ListenConfig).Listen(t.Context(), "unix", j.to+"/socket")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = socket.Close() }()
	for _, name := range []string{"file", "dangling", "pipe", "socket"} {
		before, _ := os.Lstat(j.to + "/" + name)
		wantVerb(t, fails(t, m, "file://"+j.in+"/a", "file://"+j.to+"/"+name), messages.VerbDiscard, assets.ErrNotAFile)
		if after, err := os.Lstat(j.to + "/" + name); err != nil || !os.SameFile(before, after) {
			t.Errorf("%s was replaced (%v)", name, err)
		}
	}
	wantVerb(t, fails(t, m, "file://"+j.in+"/a", "file://"+j.to+"/pipe/below"), messages.VerbDiscard, syscall.ENOTDIR)
	// A sidecar file's link is taken away, and not followed.
	move(t, m, "file://"+j.in+"/a", "file://"+j.to+"/side.svg", nil)
	wantFile(t, j.to+"/side.svg", "new")
	if info, err := os.Lstat(j.to + "/side.svg.attrs"); err == nil && !info.Mode().IsRegular() {
		t.Errorf("the sidecar file is %v", info.Mode())
	}
	wantFile(t, j.outside+"/secret", "secret")
	entries, err := os.ReadDir(j.outside)
	if err != nil || len(entries) != 1 {
		t.Errorf("outside there are %v (%v), want the secret only", entries, err)
	}
	wantFile(t, j.to+"/taken/x", "x")
	wantNoTemporary(t, j.to)
}

// No check before opening can be good enough: here the link comes and goes all the time.
func TestNoRaceOutOfAFolder(t *testing.T) {
	t.Parallel()
	j := newJail(t)
	writeFile(t, j.in+"/real/secret", "good")
	writeFile(t, j.in+"/a", "new")
	writeFile(t, j.to+"/real/x", "x")
	m := j.mover(t)
	stop := make(chan struct{})
	var flipping sync.WaitGroup
	for _, dir := range []string{j.in, j.to} {
		link(t, "real", dir+"/flip")
		link(t, "../outside", dir+"/next")
		flipping.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
					exchange(dir+"/flip", dir+"/next")
				}
			}
		})
	}
	read := 0
	for range 200 {
		_, err := m.Move(t.Context(), assets.Move{Source: "file://" + j.in + "/flip/secret", Destination: "file://" + j.to + "/read"}, nil, nil)
		if err == nil {
			read++
			wantFile(t, j.to+"/read", "good")
		}
		_, _ = m.Move(t.Context(), assets.Move{Source: "file://" + j.in + "/a", Destination: "file://" + j.to + "/flip/secret"}, nil, nil)
	}
	close(stop)
	flipping.Wait()
	wantFile(t, j.outside+"/secret", "secret")
	if read == 0 || read == 200 {
		t.Logf("%d of 200 readings met the inner folder: the links did not change fast enough to prove much", read)
	}
}

// fileblob reads what we write, and we read what it writes.
func TestFolderIsFileblob(t *testing.T) {
	t.Parallel()
	from, to := t.TempDir(), t.TempDir()
	old, err := fileblob.OpenBucket(from, nil)
	if err != nil {
		t.Fatal(err)
	}
	options := &blob.WriterOptions{
		ContentType: "application/x-odd", CacheControl: "no-store", ContentEncoding: "gzip", ContentLanguage: "de",
		ContentDisposition: "inline",
	}
	if err := old.WriteAll(t.Context(), "x/a.svg", []byte("content"), options); err != nil {
		t.Fatal(err)
	}
	if err := old.Close(); err != nil {
		t.Fatal(err)
	}
	m := newMover(t, assets.Config{Allow: []string{"source:file://" + from, "file://" + to}}, from, to)
	got := move(t, m, "file://"+from+"/x/a.svg", "file://"+to+"/y/a.svg", nil)
	want := assets.Headers{
		ContentType: "application/x-odd", CacheControl: "no-store", ContentEncoding: "gzip", ContentLanguage: "de",
		ContentDisposition: "inline",
	}
	if got.Headers != want {
		t.Errorf("read %+v, want %+v", got.Headers, want)
	}
	b, err := fileblob.OpenBucket(to, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = b.Close() }()
	attributes, err := b.Attributes(t.Context(), "y/a.svg")
	if err != nil {
		t.Fatal(err)
	}
	stored := assets.Headers{
		ContentType: attributes.ContentType, CacheControl: attributes.CacheControl, ContentEncoding: attributes.ContentEncoding,
		ContentLanguage: attributes.ContentLanguage, ContentDisposition: attributes.ContentDisposition,
	}
	if stored != want || len(attributes.MD5) != 16 {
		t.Errorf("fileblob reads %+v and MD5 %x, want %+v", stored, attributes.MD5, want)
	}
	// The next asset of that name needs no sidecar file, and must not inherit one.
	writeFile(t, from+"/plain.svg", "<svg/>")
	move(t, m, "file://"+from+"/plain.svg", "file://"+to+"/y/a.svg", nil)
	wantFile(t, to+"/y/a.svg", "<svg/>")
	wantNoFile(t, to+"/y/a.svg.attrs")
	again := move(t, m, "file://"+to+"/y/a.svg", "file://"+to+"/b.svg", nil)
	if again.Headers != (assets.Headers{ContentType: "image/svg+xml"}) {
		t.Errorf("without a sidecar file: %+v", again.Headers)
	}
}

func TestFolderOptions(t *testing.T) {
	t.Parallel()
	mask := umask(t)
	for _, syncs := range []bool{false, true} {
		from, base := t.TempDir(), t.TempDir()
		writeFile(t, from+"/a", "content")
		m := newMover(t, assets.Config{SyncFiles: syncs, Allow: []string{
			"source:file://" + from, "destination:file://" + base + "/x/y?create_dir=1&metadata=skip&dir_file_mode=0750&no_tmp_dir=1",
		}}, base)
		move(t, m, "file://"+from+"/a", "file://"+base+"/x/y/z/a", nil)
		wantFile(t, base+"/x/y/z/a", "content")
		wantNoFile(t, base+"/x/y/z/a.attrs") // although the type was guessed
		for _, dir := range []string{"/x", "/x/y", "/x/y/z"} {
			wantMode(t, base+dir, 0o750&^mask)
		}
		wantMode(t, base+"/x/y/z/a", 0o666&^mask)
	}
}

// umask finds out what this process takes from permissions, without a moment in which it is another.
func umask(t testing.TB) fs.FileMode {
	t.Helper()
	dir := t.TempDir() + "/x"
	if err := os.Mkdir(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(dir)
	if err != nil {
		t.Fatal(err)
	}
	return 0o777 &^ info.Mode().Perm()
}

func wantMode(t testing.TB, path string, mode fs.FileMode) {
	t.Helper()
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != mode {
		t.Errorf("%s: %v, %v; want the permissions %v", path, info, err, mode)
	}
}

func TestDamagedSidecar(t *testing.T) {
	t.Parallel()
	from, to := t.TempDir(), t.TempDir()
	writeFile(t, from+"/a.css", "content")
	m := newMover(t, assets.Config{Allow: []string{"file://" + from, "file://" + to}})
	for text, want := range map[string]assets.Headers{
		"{": {ContentType: "text/css"}, "null": {ContentType: "text/css"}, "no JSON": {ContentType: "text/css"},
		`{"user.content_type":"text/x-odd","user.cache_control":"no-store\r\nX: y","user.content_language":"de"}`: {ContentType: "text/x-odd", ContentLanguage: "de"},
	} {
		writeFile(t, from+"/a.css.attrs", text)
		if got := move(t, m, "file://"+from+"/a.css", "file://"+to+"/a.css", nil); got.Headers != want {
			t.Errorf("with the sidecar file %s: %+v, want %+v", text, got.Headers, want)
		}
	}
}

func TestListFolder(t *testing.T) {
	t.Parallel()
	j := newJail(t)
	for _, name := range []string{"a.svg", "sub/b.svg", "sub/deep/c d.svg", "b.svg.attrs", "sub/ü.svg"} {
		writeFile(t, j.in+"/"+name, "x")
	}
	writeFile(t, j.in+"/bad\\name", "x")
	link(t, "../outside", j.in+"/folder")
	link(t, "../outside/secret", j.in+"/secret")
	link(t, "a.svg", j.in+"/again.svg")
	if err := syscall.Mkfifo(j.in+"/pipe", 0o644); err != nil {
		t.Fatal(err)
	}
	m := j.mover(t)
	writeFile(t, j.in+"/"+assets.ScratchPrefix+"other/1", "x") // another mover's
	defer func() { _ = os.RemoveAll(j.in + "/" + assets.ScratchPrefix + "other") }()
	// The secret is listed, because only the error of its move tells somebody that it was not moved.
	wantIndex(t, m, "file://"+j.in, []string{"a.svg", "again.svg", "folder", "secret", "sub/b.svg", "sub/deep/c d.svg", "sub/ü.svg"}, []string{"b.svg.attrs", `bad\name`})
	wantIndex(t, m, "file://"+j.in+"/sub", []string{"b.svg", "deep/c d.svg", "ü.svg"}, nil)
	for _, from := range []string{"file://" + j.in + "/none", "file://" + j.in + "/a.svg", "file://" + j.in + "/folder", "file://" + j.outside} {
		if err := indexError(t, m, from); err == nil {
			t.Errorf("listing %s: no error", from)
		}
	}
}
