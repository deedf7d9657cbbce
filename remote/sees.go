package remote

import "time"

// sees is whether the peer may know of a runner, or of its tasks of a kind; empty: any. Nobody is told of it: this is for what a client is
// shown, and not for what it asks.
func (p *peer) sees(runner, kind string) bool {
	permit, _ := p.door.permitFor(time.Now(), p.token, p.leaf)
	return permit != nil && permit.name == p.name && permit.may(actionRead, runner, kind) == nil
}
