package graphql

import (
	"crypto/sha256"
	"crypto/subtle"
	"fmt"
	"mime"
	"net"
	"net/http"
	"net/netip"
	"strings"
)

// CheckListen reports why a server must not listen on the address: without a token, only loopback will do. The address is
// a host and a port as in net.Listen. Names are not looked up, because what they mean may change: of names, only
// localhost is loopback.
func CheckListen(address, token string) error {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return fmt.Errorf("graphql: the address to listen on is %q, want host:port: %w", address, err)
	}
	if token == "" && !isLoopback(host) {
		return fmt.Errorf("graphql: the address to listen on is %q, want 127.0.0.1, [::1] or localhost, or a token", address)
	}
	return nil
}

// guard is the door. It decides from the head of a request alone.
type guard struct {
	token   [sha256.Size]byte // the hash of the token
	open    bool              // no token is needed, and everything else must be local
	limits  Limits
	hosts   map[string]bool
	origins map[string]bool
	cross   *http.CrossOriginProtection
}

// newGuard prepares what is compared with each request.
func newGuard(c Config) *guard {
	g := &guard{
		token: sha256.Sum256([]byte(c.Token)), open: c.Token == "", limits: c.Limits,
		hosts: map[string]bool{}, origins: map[string]bool{}, cross: http.NewCrossOriginProtection(),
	}
	for _, host := range c.Hosts {
		g.hosts[hostPort(host)] = true
	}
	for _, origin := range c.Origins {
		g.origins[origin] = true
		_ = g.cross.AddTrustedOrigin(origin) // it was validated
	}
	return g
}

// around lets only those in who may speak to the service at all, also to its page.
func (g *guard) around(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		hurry(w, g.limits)
		refused := g.checkRemote(r)
		if refused == nil {
			refused = g.checkHost(r)
		}
		if refused != nil {
			writeProblem(w, r, refused)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// check lets a call in. It writes no more than headers.
func (g *guard) check(w http.ResponseWriter, r *http.Request) *problem {
	g.allowOrigin(w, r)
	for _, check := range []func(*http.Request) *problem{checkMethod, g.checkOrigin, g.checkToken, checkContentType} {
		if refused := check(r); refused != nil {
			return refused
		}
	}
	return nil
}

// passedOn are the headers by which proxies say that a request is somebody else's. Without a token, a proxy on this
// machine would make the whole network local.
var passedOn = [...]string{"Forwarded", "Via", "X-Forwarded-For", "X-Forwarded-Host", "X-Real-Ip"}

// checkRemote keeps others than this machine out if there is no token.
func (g *guard) checkRemote(r *http.Request) *problem {
	if !g.open {
		return nil
	}
	remote, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil || !remote.Addr().Unmap().IsLoopback() {
		return refuse(http.StatusForbidden, Forbidden, "without a token the service is for its own machine only")
	}
	for _, name := range passedOn {
		if r.Header.Get(name) != "" {
			return refuse(http.StatusForbidden, Forbidden, "without a token the service takes nothing from a proxy; this request has the header "+name)
		}
	}
	return nil
}

// checkHost keeps names out that somebody else may have pointed at this machine: to a browser, a page under such a name
// is of the same origin as the service.
func (g *guard) checkHost(r *http.Request) *problem {
	name := hostname(r.Host)
	_, err := netip.ParseAddr(name)
	address := err == nil // no name, so nobody can point it elsewhere
	switch {
	case isLoopback(name):
	case !g.open && (address || g.hosts[name] || g.hosts[hostPort(r.Host)]):
	default:
		return refuse(http.StatusForbidden, Forbidden, "the service is not asked for by this name in the Host header")
	}
	return nil
}

// hostname gives the name or address of a Host header without its port, in the one form that is compared.
func hostname(host string) string {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	} else {
		host = strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
	}
	return strings.TrimSuffix(strings.ToLower(host), ".")
}

// hostPort gives a Host header in the same form, with its port if it has one.
func hostPort(host string) string {
	if _, port, err := net.SplitHostPort(host); err == nil {
		return net.JoinHostPort(hostname(host), port)
	}
	return hostname(host)
}

// isLoopback takes localhost for loopback without looking it up: browsers do, and RFC 6761 wants it. A zone has no place in
// a loopback address.
func isLoopback(host string) bool {
	addr, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && addr.Zone() == "" && addr.Unmap().IsLoopback()
}

// allowOrigin tells a browser that a page of a listed origin may read the answer, also if it is a refusal.
func (g *guard) allowOrigin(w http.ResponseWriter, r *http.Request) {
	if len(g.origins) == 0 {
		return
	}
	w.Header().Add("Vary", "Origin")
	if origin := r.Header.Get("Origin"); g.origins[origin] {
		w.Header().Set("Access-Control-Allow-Origin", origin)
	}
}

// preflight answers a browser that asks whether a page of a listed origin may call. Cookies are no matter here: the token
// travels in a header that pages have to set themselves.
func (g *guard) preflight(w http.ResponseWriter, r *http.Request) bool {
	if r.Method != http.MethodOptions || !g.origins[r.Header.Get("Origin")] {
		return false
	}
	g.allowOrigin(w, r)
	w.Header().Set("Access-Control-Allow-Methods", http.MethodPost)
	w.Header().Set("Access-Control-Allow-Headers", "Authorization, Content-Type")
	w.WriteHeader(http.StatusNoContent)
	return true
}

// checkMethod takes POST alone. Queries by GET would be in logs and caches with all their variables, and a plain link could
// ask them.
func checkMethod(r *http.Request) *problem {
	if r.Method != http.MethodPost {
		return refuse(http.StatusMethodNotAllowed, BadUserInput, "the method is "+shown(r.Method)+", want POST")
	}
	return nil
}

// checkOrigin refuses what a browser sends for a page of another origin. Programs send no Origin, and lie if they want;
// it is browsers that must not be made to speak for others.
func (g *guard) checkOrigin(r *http.Request) *problem {
	if g.cross.Check(r) != nil {
		return refuse(http.StatusForbidden, Forbidden, "web pages of other origins may not use the service")
	}
	return nil
}

// checkToken compares hashes, which have one length, in a time that does not depend on where they differ.
func (g *guard) checkToken(r *http.Request) *problem {
	if g.open {
		return nil
	}
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	sum := sha256.Sum256([]byte(strings.TrimSpace(token)))
	if !strings.EqualFold(scheme, "Bearer") || subtle.ConstantTimeCompare(sum[:], g.token[:]) != 1 {
		return refuse(http.StatusUnauthorized, Unauthenticated, `no valid token, want the header "Authorization: Bearer …"`)
	}
	return nil
}

// checkContentType takes only what a form or a plain link cannot send: a browser asks first (preflight) before it sends
// application/json to another origin.
func checkContentType(r *http.Request) *problem {
	mediaType, parameters, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	charset, given := parameters["charset"]
	switch {
	case err != nil || mediaType != "application/json":
		return refuse(http.StatusUnsupportedMediaType, BadUserInput, "the content type is "+shown(r.Header.Get("Content-Type"))+", want application/json")
	case given && !strings.EqualFold(charset, "utf-8"):
		return refuse(http.StatusUnsupportedMediaType, BadUserInput, "the charset is "+shown(charset)+", want utf-8")
	case r.Header.Get("Content-Encoding") != "":
		return refuse(http.StatusUnsupportedMediaType, BadUserInput, "the content is encoded, want it plain")
	}
	return nil
}
