package assets

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"strings"
)

// prefix is one line of Config.Allow.
type prefix struct {
	at     location
	params string // the operator's query parameters for a bucket or folder
	read   bool
	write  bool
	place  place // what opens it; nil for HTTP, which has one client for all
}

// parsePrefix reads one line of Config.Allow.
func parsePrefix(line string) (prefix, error) {
	p := prefix{read: true, write: true}
	if rest, ok := strings.CutPrefix(line, "source:"); ok {
		line, p.write = rest, false
	} else if rest, ok := strings.CutPrefix(line, "destination:"); ok {
		line, p.read = rest, false
	}
	line, p.params, _ = strings.Cut(line, "?")
	var err error
	if p.at, err = parseLocation(line); err != nil {
		return prefix{}, err
	}
	if !p.at.isHTTP() {
		return p, nil
	}
	switch {
	case p.params != "":
		return prefix{}, errors.New("has a query; an HTTP prefix allows every query below it")
	case !p.read:
		return prefix{}, errors.New("is a destination, but nothing can be written to http:// and https://")
	}
	p.write = false
	return p, nil
}

// allowList is Config.Allow as it is used. It does not change after New.
type allowList []prefix

// parseAllow reads Config.Allow. Two lines for the same place with different parameters are refused, since no rule
// could say which of two endpoints is meant.
func parseAllow(lines []string) (allowList, error) {
	list := make(allowList, 0, len(lines))
	for i, line := range lines {
		p, err := parsePrefix(line)
		if err != nil {
			return nil, fmt.Errorf("assets: Config.Allow[%d] %s %w", i, quoted(line), err)
		}
		for j, other := range list {
			same := p.at.String() == other.at.String() && (p.read && other.read || p.write && other.write)
			if same && p.params != other.params {
				return nil, fmt.Errorf("assets: Config.Allow[%d] %s is the same place as Config.Allow[%d], with other parameters", i, quoted(line), j)
			}
		}
		list = append(list, p)
	}
	return list, nil
}

// find gives the prefix that decides about l: the longest one that l lies below, so that the rule for a part of a place
// can differ from the rule for the whole. Several of the same length add up.
func (list allowList) find(l location, write bool) (*prefix, error) {
	longest := -1
	for i := range list {
		if l.below(list[i].at) {
			longest = max(longest, len(list[i].at.path))
		}
	}
	for i := range list {
		p := &list[i]
		if len(p.at.path) == longest && (write && p.write || !write && p.read) && l.below(p.at) {
			return p, nil
		}
	}
	switch {
	case longest < 0:
		return nil, errors.New("is not below any prefix that the operator allows")
	case write:
		return nil, errors.New("may be read, but not written to")
	default:
		return nil, errors.New("may be written to, but not read")
	}
}

// exemptions gives the addresses that the prefixes themselves permit, by host and port: a literal address permits
// itself, and localhost the loopback addresses. Never more than that port, or a name under somebody else's control
// could be pointed at another service of this machine.
func (list allowList) exemptions() map[string][]netip.Prefix {
	byHost := make(map[string][]netip.Prefix)
	for _, p := range list {
		if !p.at.isHTTP() {
			continue
		}
		u := url.URL{Scheme: p.at.scheme, Host: p.at.host}
		if addr, err := netip.ParseAddr(u.Hostname()); err == nil {
			byHost[dialKey(&u)] = append(byHost[dialKey(&u)], netip.PrefixFrom(addr, addr.BitLen()))
		} else if u.Hostname() == "localhost" {
			byHost[dialKey(&u)] = append(byHost[dialKey(&u)], loopback4, loopback6)
		}
	}
	return byHost
}

var (
	loopback4 = netip.MustParsePrefix("127.0.0.0/8")
	loopback6 = netip.MustParsePrefix("::1/128")
)

// dialKey is the host and port under which net/http asks for a connection.
func dialKey(u *url.URL) string {
	port := u.Port()
	if port == "" {
		port = fmt.Sprint(defaultPort(u.Scheme))
	}
	return u.Hostname() + ":" + port
}
