package remote

import "context"

// bearer sends a client's token with each call. It is a credentials.PerRPCCredentials.
type bearer struct {
	token string
	clear bool // whether it may travel without TLS: for a listener on loopback only
}

// GetRequestMetadata is for gRPC.
func (b bearer) GetRequestMetadata(context.Context, ...string) (map[string]string, error) {
	return map[string]string{"authorization": "Bearer " + b.token}, nil
}

// RequireTransportSecurity is for gRPC, which refuses to dial without TLS if it is true.
func (b bearer) RequireTransportSecurity() bool { return !b.clear }
