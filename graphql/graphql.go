// Package graphql is what a front end asks: it starts moves, shows tasks and runners, cancels and retries, over HTTP at
// /graphql, with the GraphiQL page at /graphiql/. The schema is in schema.graphqls.
//
// # Promises
//
//   - A mutation answers as soon as its tasks are recorded. No request waits for a task to be done.
//   - The tasks of one moveAssets are recorded all, and then the answer has them, or, with an error, none. So nothing but
//     __typename may stand beside a moveAssets, and there is room for its answer before anything is recorded. One error
//     leaves it open: that the request took longer than RequestTimeout, because the store may have been about to commit.
//   - Without a token the service is for this machine only: who comes from elsewhere, who asks for it by another name,
//     and whatever a proxy has passed on is refused. With or without a token, a web page of another origin cannot use it
//     through somebody's browser: Host, Origin, Sec-Fetch-Site and content type are checked, and only POST does anything.
//   - Every limit has a name and a default; see [Limits]. What exceeds one gets an error that names it, before anything
//     was done. The one exception is the answer of cancelTask and retryTask: if it turns out larger than MaxAnswer, or there
//     is no room for it in MaxLoad, the mutation has been carried out, and the error says so.
//   - What a request takes is counted before it is taken: nothing is made of a body that is nested too deep or has too many
//     values, and room is held for what has come, not for what was announced.
//   - A request that is refused before it is carried out has no data in its answer.
//   - Every error carries one of the codes of [Code] in its extensions. An error that this package does not know is told as
//     "internal error" with an id, under which the log has the whole of it. No path, address, query or stack of the
//     service is in an answer, except stacks if the operator wants them (Config.ShowStacks). What a task's own error says
//     is shown as it is recorded.
//   - A panic in a resolver, in Config.CheckMoves or in Config.HideArgs is an internal error of that request alone.
//   - No goroutine outlives its request.
//
// Requests are single operations in application/json. GET, batches, file uploads, subscriptions, @defer and persisted
// queries are not served.
package graphql

import (
	"maps"
	"net/http"

	gqlgen "github.com/99designs/gqlgen/graphql"
	"github.com/99designs/gqlgen/graphql/executor"

	"github.com/taskrunner-go/taskrunner/graphql/graphiql"
	"github.com/taskrunner-go/taskrunner/graphql/internal/gen"
)

// Path is where the service is: requests are POSTed there.
const Path = "/graphql"

// PagePath is where the GraphiQL page is.
const PagePath = "/graphiql/"

// New makes the handler of Path and PagePath, to be mounted at the root of a server. It fails if the config is not valid.
// The handler is safe for concurrent use, starts nothing and needs no closing; it must not be used once the store is
// closed, or all it says is UNAVAILABLE.
//
// The server should have a ReadHeaderTimeout, and must listen where [CheckListen] allows.
func New(config Config) (http.Handler, error) {
	config = config.withDefaults()
	if err := config.validate(); err != nil {
		return nil, err
	}
	door := newGuard(config)
	mux := http.NewServeMux()
	mux.Handle(Path, newAPI(config, door))
	mux.Handle(PagePath, http.StripPrefix("/graphiql", graphiql.Handler(Path)))
	return door.around(mux), nil
}

// newExecutor puts the schema, its resolvers and the limits together.
func newExecutor(config Config, reporter *reporter) *executor.Executor {
	e := executor.New(newSchema(newResolvers(config)))
	e.Use(limiter{config.Limits})
	e.AroundFields(chargeField)
	e.SetErrorPresenter(reporter.present)
	e.SetRecoverFunc(reporter.recovered)
	return e
}

// newSchema takes @defer out of the schema: gqlgen knows it, but over a transport with one answer for each request the
// goroutines of what was deferred would wait for a reader that never comes.
func newSchema(resolvers gen.ResolverRoot) gqlgen.ExecutableSchema {
	schema := *gen.NewExecutableSchema(gen.Config{}).Schema()
	schema.Directives = maps.Clone(schema.Directives)
	delete(schema.Directives, "defer")
	return gen.NewExecutableSchema(gen.Config{Schema: &schema, Resolvers: resolvers})
}
