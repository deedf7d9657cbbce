package process

import "context"

// Outside gives ctx without the process that it belongs to: what is started with it is linked to nobody, and what is sent
// with it comes from nobody. It is for work that outlives its caller; what a process says after its end is dropped.
func Outside(ctx context.Context) context.Context { return outside{ctx} }

type outside struct{ context.Context }

func (c outside) Value(key any) any {
	if key == (procKey{}) {
		return nil
	}
	return c.Context.Value(key)
}
