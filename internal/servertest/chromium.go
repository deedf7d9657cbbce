package servertest

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"
)

// Page is one tab of a browser, driven over two pipes with the DevTools protocol. What goes wrong fails the test. Use
// it from the goroutine of the test only.
type Page struct {
	t       testing.TB
	server  *server
	in      *os.File      // what we tell the browser
	out     *os.File      // what it tells us; for its deadline
	reader  *bufio.Reader // reads out
	session string        // the tab
	lastID  int

	// Requests are the URLs that were fetched, in order, and Problems what the console reported as an error: uncaught
	// exceptions, failed loads, breaches of the Content-Security-Policy.
	Requests, Problems []string
}

// chromiumFlags make a browser that shows nothing, keeps nothing and calls nobody on its own account. The sandbox
// needs rights that a container often lacks, and all pages are ours.
var chromiumFlags = [...]string{
	"--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-dev-shm-usage",
	"--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync",
	"--disable-default-apps", "--disable-breakpad", "--window-size=1280,800", "--remote-debugging-pipe",
}

// Chromium starts a browser with a fresh profile and gives its empty first page. The browser ends with the test.
func Chromium(t testing.TB) *Page {
	t.Helper()
	path := Need(t, "chromium")
	theirIn, ourIn := pipe(t)
	ourOut, theirOut := pipe(t)
	home := profileDir(t)
	s := start(t, path, func(cmd *exec.Cmd) {
		cmd.ExtraFiles = []*os.File{theirIn, theirOut}               // descriptors 3 and 4, where --remote-debugging-pipe wants them
		cmd.Env = append(os.Environ(), "HOME="+home, "TMPDIR="+home) // it leaves folders in both
	}, append(chromiumFlags[:], "--user-data-dir="+home, "about:blank")...)
	_ = theirIn.Close() // so that the end of the browser is the end of the pipe
	_ = theirOut.Close()
	p := &Page{t: t, server: s, in: ourIn, out: ourOut, reader: bufio.NewReader(ourOut)}
	p.attach()
	return p
}

// attach opens a tab and subscribes to what Requests and Problems collect.
func (p *Page) attach() {
	p.t.Helper()
	var target struct{ TargetID string }
	p.call("Target.createTarget", params{"url": "about:blank"}, &target)
	var session struct{ SessionID string }
	p.call("Target.attachToTarget", params{"targetId": target.TargetID, "flatten": true}, &session)
	p.session = session.SessionID
	for _, domain := range []string{"Page", "Runtime", "Log", "Network"} {
		p.call(domain+".enable", nil, nil)
	}
}

// Open goes to a URL and returns when the page and its scripts have loaded.
func (p *Page) Open(url string) {
	p.t.Helper()
	var result struct{ ErrorText string }
	p.call("Page.navigate", params{"url": url}, &result)
	if result.ErrorText != "" {
		p.t.Fatalf("servertest: chromium cannot open %s: %s", url, result.ErrorText)
	}
	p.Await(`document.readyState === "complete"`)
}

// Eval runs JavaScript in the page, awaits it if it is a promise, and decodes its value into result, which may be nil.
func (p *Page) Eval(script string, result any) {
	p.t.Helper()
	var answer struct {
		Result           struct{ Value json.RawMessage }
		ExceptionDetails *struct {
			Text      string
			Exception struct{ Description string }
		}
	}
	p.call("Runtime.evaluate", params{"expression": script, "awaitPromise": true, "returnByValue": true}, &answer)
	if e := answer.ExceptionDetails; e != nil {
		p.t.Fatalf("servertest: %s in the page: %s\n%s", e.Text, e.Exception.Description, script)
	}
	if result == nil {
		return
	}
	if err := json.Unmarshal(answer.Result.Value, result); err != nil {
		p.t.Fatalf("servertest: the value of %s is %q: %v", script, answer.Result.Value, err)
	}
}

// Await returns when a JavaScript expression has become true. The page looks again at each frame, and gives up, which
// fails the test, when startTimeout has passed.
func (p *Page) Await(condition string) {
	p.t.Helper()
	p.Eval(fmt.Sprintf(`new Promise((resolve, reject) => {
		const end = performance.now() + %d
		const look = () => {
			if (%s) resolve()
			else if (performance.now() > end) reject(new Error("not in time; the page says: " + document.body.innerText.slice(0, 2000)))
			else setTimeout(look, 10)
		}
		look()
	})`, startTimeout.Milliseconds(), condition), nil)
}

// Type enters text where the cursor is, as a keyboard would.
func (p *Page) Type(text string) {
	p.t.Helper()
	p.call("Input.insertText", params{"text": text}, nil)
}

// Click presses the left mouse button in the middle of the first visible element that the CSS selector finds, when there
// is one.
func (p *Page) Click(selector string) {
	p.t.Helper()
	var at struct{ X, Y float64 }
	quoted, _ := json.Marshal(selector) // a string can always be marshalled
	visible := fmt.Sprintf(`[...document.querySelectorAll(%s)].map(e => e.getBoundingClientRect()).find(r => r.width * r.height > 0 && r.right > 0 && r.bottom > 0)`, quoted)
	p.Await(visible)
	p.Eval(fmt.Sprintf(`(r => ({x: r.x + r.width / 2, y: r.y + r.height / 2}))(%s)`, visible), &at)
	for _, kind := range []string{"mousePressed", "mouseReleased"} {
		p.call("Input.dispatchMouseEvent", params{"type": kind, "x": at.X, "y": at.Y, "button": "left", "clickCount": 1}, nil)
	}
}

// Screenshot writes what the page looks like to a PNG file.
func (p *Page) Screenshot(file string) {
	p.t.Helper()
	var shot struct{ Data []byte }
	p.call("Page.captureScreenshot", params{"format": "png"}, &shot)
	if err := os.WriteFile(file, shot.Data, 0o600); err != nil {
		p.t.Fatalf("servertest: the screenshot: %v", err)
	}
}

// params are the arguments of a DevTools method.
type params map[string]any

// message is what goes over the pipes, each ended by a zero byte: a call, its answer, or an event.
type message struct {
	ID      int             `json:"id,omitempty"`
	Session string          `json:"sessionId,omitempty"`
	Method  string          `json:"method,omitempty"`
	Params  any             `json:"params,omitempty"`
	Result  json.RawMessage `json:"result,omitempty"`
	Error   json.RawMessage `json:"error,omitempty"`
}

// call asks the browser and waits for its answer; events that come first are noted on the way. That a page's promise
// may take startTimeout is why the answer may take twice as long.
func (p *Page) call(method string, args params, result any) {
	p.t.Helper()
	p.lastID++
	request, err := json.Marshal(message{ID: p.lastID, Session: p.session, Method: method, Params: args})
	if err != nil {
		p.t.Fatalf("servertest: chromium: %s: %v", method, err)
	}
	deadline := time.Now().Add(2 * startTimeout)
	_ = p.in.SetDeadline(deadline) // pipes have deadlines wherever Chromium runs
	_ = p.out.SetDeadline(deadline)
	if _, err := p.in.Write(append(request, 0)); err != nil {
		p.t.Fatalf("servertest: chromium: %s: %v\n%s", method, err, p.server.output)
	}
	answer := p.read(method)
	for answer.ID != p.lastID {
		answer = p.read(method)
	}
	if answer.Error != nil {
		p.t.Fatalf("servertest: chromium: %s: %s", method, answer.Error)
	}
	if result == nil {
		return
	}
	if err := json.Unmarshal(answer.Result, result); err != nil {
		p.t.Fatalf("servertest: chromium: the answer to %s: %v", method, err)
	}
}

// read takes one message from the browser and notes it if it is an event.
func (p *Page) read(method string) message {
	p.t.Helper()
	line, err := p.reader.ReadBytes(0)
	if err != nil {
		p.t.Fatalf("servertest: chromium: no answer to %s: %v\n%s", method, err, p.server.output)
	}
	var raw json.RawMessage
	m := message{Params: &raw}
	if err := json.Unmarshal(line[:len(line)-1], &m); err != nil {
		p.t.Fatalf("servertest: chromium: %q: %v", line, err)
	}
	p.note(m.Method, raw)
	return m
}

// note keeps the events that tests ask about.
func (p *Page) note(method string, event json.RawMessage) {
	var e struct {
		Request          struct{ URL string }
		Entry            struct{ Level, Text, URL string }
		ExceptionDetails struct {
			Exception struct{ Description string }
		}
	}
	if len(event) == 0 || json.Unmarshal(event, &e) != nil {
		return // an answer, or an event of another shape
	}
	switch {
	case method == "Network.requestWillBeSent":
		p.Requests = append(p.Requests, e.Request.URL)
	case method == "Log.entryAdded" && e.Entry.Level == "error":
		p.Problems = append(p.Problems, e.Entry.Text+" "+e.Entry.URL)
	case method == "Runtime.exceptionThrown":
		p.Problems = append(p.Problems, e.ExceptionDetails.Exception.Description)
	}
}

// RequestsElsewhere gives the requests that went neither to origin nor to a URL which holds its own data.
func (p *Page) RequestsElsewhere(origin string) []string {
	return slices.DeleteFunc(slices.Clone(p.Requests), func(url string) bool {
		return strings.HasPrefix(url, origin+"/") || strings.HasPrefix(url, "data:") || strings.HasPrefix(url, "about:")
	})
}

// pipe makes a pipe whose ends are closed with the test.
func pipe(t testing.TB) (r, w *os.File) {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatalf("servertest: chromium: %v", err)
	}
	t.Cleanup(func() { _, _ = r.Close(), w.Close() })
	return r, w
}

// profileDir gives the browser a home of its own. It is not t.TempDir(), which fails the test if the folder cannot be
// removed: helpers of the browser outlive it by moments, and one may still write.
func profileDir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "servertest-chromium-") //nolint:usetesting // see above
	if err != nil {
		t.Fatalf("servertest: chromium: %v", err)
	}
	t.Cleanup(func() {
		for range 3 {
			if os.RemoveAll(dir) == nil {
				return
			}
		}
		t.Logf("servertest: chromium left %s behind", dir)
	})
	return dir
}
