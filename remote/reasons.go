package remote

// Why something is refused to a client who is known, besides the reasons in refusals.go. These words are kept.
const (
	refusedBadHello   = "bad_hello"       // a stream that does not begin as it must
	refusedBadMessage = "bad_message"     // a message that breaks a rule of the stream, and ends it
	refusedBadRun     = "bad_run"         // a run that cannot be read, or has a field that cannot be
	refusedUnknown    = "unknown_request" // a request that this listener does not know
	refusedClients    = "clients"         // more than MaxClients, or MaxClientsPerName
)
