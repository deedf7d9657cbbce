package graphql

// Cursors, for the tests: what they stand for is nobody else's business.
var (
	EncodeCursor = encodeCursor
	DecodeCursor = decodeCursor
)
