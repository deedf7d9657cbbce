package actors

import "github.com/taskrunner-go/taskrunner/store"

// System is where the runner lives.
func (r *TaskRunner) System() *System { return r.system }

// Store is where the runner records its tasks; nil if it does not.
func (r *TaskRunner) Store() store.Store { return r.config.Store }

// Free is how many more tasks would start at once; below zero, how many wait for that. A runner that takes no more tasks has stopped.
func (r *TaskRunner) Free() (tasks int, stopped bool) {
	a := r.admission
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.maxChildren - a.running - a.waiting, a.closed
}
