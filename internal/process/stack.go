package process

// A goroutine begins with a stack of 2 KiB, and each time that is not enough the runtime makes another of twice the size and moves
// all frames there. What runs in a process is some ten frames deep when it asks for more, and it asks twice: 2 µs of the 10 µs
// that a task costs. So room is asked for at once, while there is nothing to move. A pool of goroutines would save the rest, but what
// one task has done to its goroutine (labels, a locked thread) would be the next one's.

// grow makes the stack of a goroutine that has just begun 8 KiB. The runtime takes back what it then finds unused.
//
//go:noinline
func grow() {
	var room [6 << 10]byte
	touch(&room[0])
}

// touch keeps the compiler from seeing that the room is not used.
//
//go:noinline
func touch(*byte) {}
