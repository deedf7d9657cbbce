package graphql_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"go.uber.org/goleak"
	_ "gocloud.dev/blob/memblob" // mem:// destinations

	"github.com/taskrunner-go/taskrunner/actors"
	"github.com/taskrunner-go/taskrunner/assets"
	"github.com/taskrunner-go/taskrunner/graphql"
	"github.com/taskrunner-go/taskrunner/store"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const token = "a-token-of-the-tests-with-more-than-16-bytes"

// codes are all there are.
var codes = []graphql.Code{
	graphql.BadUserInput, graphql.Unauthenticated, graphql.Forbidden, graphql.NotFound,
	graphql.Conflict, graphql.LimitExceeded, graphql.Unavailable, graphql.Internal,
}

// service is a whole service: a store, a runner whose moves wait to be let go, and a server that listens on loopback.
type service struct {
	*testing.T
	store   *store.Memory
	runner  *actors.TaskRunner
	handler http.Handler
	url     string
	client  *http.Client
	log     *logs
	ended   chan any       // what HandleInfo was told
	gate    chan assetMove // each send lets one move end
}

// assetMove is how a move is to end.
type assetMove struct {
	err   error
	panic bool
}

// newService starts one. change may adapt its config.
func newService(t *testing.T, change func(*graphql.Config)) *service {
	t.Helper()
	s := &service{T: t, store: store.NewMemory(), log: &logs{}, ended: make(chan any, 100), gate: make(chan assetMove)}
	s.startRunner()
	config := graphql.Config{
		Tasks: s.store, Runners: []*actors.TaskRunner{s.runner}, CheckMoves: newMover(t).CheckAll, Logger: s.log.logger(),
	}
	if change != nil {
		change(&config)
	}
	s.handler = newHandler(t, config)
	server := httptest.NewServer(s.handler)
	t.Cleanup(server.Close)
	s.url, s.client = server.URL, server.Client()
	return s
}

func newHandler(t testing.TB, config graphql.Config) http.Handler {
	t.Helper()
	handler, err := graphql.New(config)
	if err != nil {
		t.Fatalf("New: %v", err)
	}
	return handler
}

// startRunner starts a runner that can run 10 tasks and keep 200,000 waiting.
func (s *service) startRunner() {
	s.Helper()
	runner, err := actors.StartTaskRunner(s.Context(), actors.TaskRunnerConfig{
		Name: "assets", Store: s.store, MaxChildren: 10, MaxWaiting: 200_000, DrainTimeout: -1,
		HandleInfo: func(_ context.Context, message any) {
			select {
			case s.ended <- message:
			default: // nobody counts the outcomes of this test
			}
		},
		Kinds: actors.Kinds{actors.Kind(assets.KindName, s.move, actors.WithMaxAttempts(2))},
	})
	if err != nil {
		s.Fatal(err)
	}
	s.runner = runner
	s.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if err := runner.Stop(ctx); err != nil {
			s.Errorf("Stop: %v", err)
		}
	})
}

// move is the handler of asset.move: it waits until the test lets it end.
func (s *service) move(ctx context.Context, move assets.Move) (assets.Moved, error) {
	select {
	case end := <-s.gate:
		if end.panic {
			panic("the handler of the test panics")
		}
		return assets.Moved{Source: move.Source, Destination: move.Destination, Bytes: 7}, end.err
	case <-ctx.Done():
		return assets.Moved{}, context.Cause(ctx)
	}
}

// newMover makes a real mover, which may read from one origin and write to memory.
func newMover(t testing.TB) *assets.Mover {
	t.Helper()
	mover, err := assets.New(t.Context(), assets.Config{
		Allow: []string{"https://old.example.com/", "mem://new/"}, TempDir: t.TempDir(),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := mover.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return mover
}

// reply is an answer of the service.
type reply struct {
	status int
	header http.Header
	body   string
	Data   map[string]json.RawMessage
	Errors []struct {
		Message    string
		Path       []any
		Extensions map[string]any
	}
}

// code gives the code of the first error, "" if there is none.
func (r reply) code() graphql.Code {
	if len(r.Errors) == 0 {
		return ""
	}
	code, _ := r.Errors[0].Extensions["code"].(string)
	return graphql.Code(code)
}

func (r reply) message() string {
	if len(r.Errors) == 0 {
		return ""
	}
	return r.Errors[0].Message
}

// vars are the variables of a query.
type vars map[string]any

// ask asks the service over HTTP, and expects an answer of the form that all answers have.
func (s *service) ask(query string, variables vars) reply {
	s.Helper()
	body, err := json.Marshal(map[string]any{"query": query, "variables": variables})
	if err != nil {
		s.Fatal(err)
	}
	return s.post(bytes.NewReader(body), nil)
}

func (s *service) post(body io.Reader, header map[string]string) reply {
	s.Helper()
	request, err := http.NewRequestWithContext(s.Context(), http.MethodPost, s.url+graphql.Path, body)
	if err != nil {
		s.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/json")
	for name, value := range header {
		request.Header.Set(name, value)
	}
	response, err := s.client.Do(request)
	if err != nil {
		s.Fatal(err)
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	if err != nil {
		s.Fatal(err)
	}
	return parseReply(s, response.StatusCode, response.Header, answer)
}

// parseReply checks what holds for every answer: it is JSON, and each error has one of the codes.
func parseReply(t testing.TB, status int, header http.Header, body []byte) reply {
	t.Helper()
	r := reply{status: status, header: header, body: string(body)}
	if err := json.Unmarshal(body, &r); err != nil {
		t.Fatalf("status %d, the answer is no JSON: %v\n%.200s", status, err, body)
	}
	for _, e := range r.Errors {
		code, _ := e.Extensions["code"].(string)
		if !slices.Contains(codes, graphql.Code(code)) {
			t.Errorf("the error %q has the code %q, want one of %q", e.Message, code, codes)
		}
	}
	return r
}

// into asks and expects data without errors, of which it decodes one field.
func into[T any](s *service, field, query string, variables vars) T {
	s.Helper()
	r := s.ask(query, variables)
	if len(r.Errors) > 0 {
		s.Fatalf("%s: %+v", query, r.Errors)
	}
	var value T
	if err := json.Unmarshal(r.Data[field], &value); err != nil {
		s.Fatalf("%s: %v in %s", query, err, r.Data[field])
	}
	return value
}

// refuses asks and expects a refusal with the code, in which all the words occur.
func (s *service) refuses(code graphql.Code, query string, variables vars, words ...string) reply {
	s.Helper()
	r := s.ask(query, variables)
	wantRefusal(s, r, code, words...)
	return r
}

func wantRefusal(t testing.TB, r reply, code graphql.Code, words ...string) {
	t.Helper()
	if r.code() != code {
		t.Errorf("code %q, want %q: %.300s", r.code(), code, r.body)
	}
	for _, word := range words {
		if !strings.Contains(r.message(), word) {
			t.Errorf("the message is %q, want %q in it", r.message(), word)
		}
	}
}

// wantLimit expects the first error to name the limit for programs, too.
func wantLimit(t testing.TB, r reply, limit string) {
	t.Helper()
	if len(r.Errors) == 0 || r.Errors[0].Extensions["limit"] != limit {
		t.Errorf("want the limit %s in the extensions: %.300s", limit, r.body)
	}
}

// task is the Task of the schema.
type task struct {
	ID, Kind, State         string
	Attempt, MaxAttempts    int
	Progress                *float64
	Args, Result            json.RawMessage
	Error                   *string
	History                 []attempt
	InsertedAt, ScheduledAt time.Time
	StartedAt, FinishedAt   *time.Time
}

type attempt struct {
	Attempt, Run       int
	State, Node, Error string
	Stack              *string
	FinishedAt         time.Time
}

const taskFields = `{ id kind state attempt maxAttempts progress args result error
	history { attempt run state node error stack startedAt finishedAt } priority node insertedAt scheduledAt startedAt finishedAt }`

const moveMutation = `mutation($input: [MoveAssetInput!]!) { moveAssets(input: $input) ` + taskFields + `}`

// move is one element of the input of moveAssets that is right.
func move(name string) map[string]any {
	return map[string]any{"source": "https://old.example.com/" + name, "destination": "mem://new/" + name}
}

func moves(input ...map[string]any) vars { return vars{"input": append([]map[string]any{}, input...)} }

// start starts moves and gives their tasks.
func (s *service) start(names ...string) []task {
	s.Helper()
	var input []map[string]any
	for _, name := range names {
		input = append(input, move(name))
	}
	return into[[]task](s, "moveAssets", moveMutation, moves(input...))
}

// end lets one move end so, and waits until its outcome is recorded.
func (s *service) end(how assetMove) any {
	s.gate <- how
	return <-s.ended
}

func (s *service) task(id string) task {
	s.Helper()
	return into[task](s, "task", `query($id: ID!) { task(id: $id) `+taskFields+`}`, vars{"id": id})
}

// count gives how many tasks the store has.
func (s *service) count() (n int64) {
	s.Helper()
	counts, err := s.store.Counts(context.Background(), "")
	if err != nil {
		s.Fatal(err)
	}
	for count := range maps.Values(counts) {
		n += count
	}
	return n
}

// logs keeps what was logged.
type logs struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *logs) logger() *slog.Logger { return slog.New(slog.NewTextHandler(l, nil)) }

func (l *logs) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *logs) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// faulty is a store that answers as the test wants; what is nil, the memory store answers.
type faulty struct {
	store.Reader
	get  func(ctx context.Context, id string) (store.Task, error)
	list func(ctx context.Context, query store.Query) ([]store.Task, error)
}

func (f faulty) Get(ctx context.Context, id string) (store.Task, error) {
	if f.get == nil {
		return f.Reader.Get(ctx, id)
	}
	return f.get(ctx, id)
}

func (f faulty) List(ctx context.Context, query store.Query) ([]store.Task, error) {
	if f.list == nil {
		return f.Reader.List(ctx, query)
	}
	return f.list(ctx, query)
}

// call asks the handler without a network between.
func (s *service) call(t testing.TB, body string) reply {
	t.Helper()
	w := httptest.NewRecorder()
	s.handler.ServeHTTP(w, newCall(body))
	return parseReply(t, w.Code, w.Header(), w.Body.Bytes())
}

// newCall is a request of this machine, as the server hands it over.
func newCall(body string) *http.Request {
	r := httptest.NewRequestWithContext(context.Background(), http.MethodPost, graphql.Path, strings.NewReader(body))
	r.Host, r.RemoteAddr = "127.0.0.1:8080", "127.0.0.1:54321"
	r.Header.Set("Content-Type", "application/json")
	return r
}

func newID() string { return uuid.Must(uuid.NewV7()).String() }

// anID is an id that no task has.
const anID = "01980000-0000-7000-8000-000000000000"

const askTask = `{ task(id: "` + anID + `") { id } }`

var errSecret = errors.New("open /var/lib/secret.db: the password is hunter2")
