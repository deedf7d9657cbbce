package fields

import "google.golang.org/protobuf/encoding/protowire"

// What has its zero value is not on the wire: proto3 has no presence for it.

// AppendVarint appends a number, a bool or an enum.
func AppendVarint(data []byte, field protowire.Number, n uint64) []byte {
	if n == 0 {
		return data
	}
	return protowire.AppendVarint(protowire.AppendTag(data, field, protowire.VarintType), n)
}

// SizeVarint is how many bytes AppendVarint appends.
func SizeVarint(field protowire.Number, n uint64) int {
	if n == 0 {
		return 0
	}
	return protowire.SizeTag(field) + protowire.SizeVarint(n)
}

// AppendBytes appends bytes or a string.
func AppendBytes[T string | []byte](data []byte, field protowire.Number, value T) []byte {
	if len(value) == 0 {
		return data
	}
	return append(AppendSize(data, field, len(value)), value...)
}

// SizeBytes is how many bytes AppendBytes appends.
func SizeBytes[T string | []byte](field protowire.Number, value T) int {
	if len(value) == 0 {
		return 0
	}
	return SizeMessage(field, len(value))
}

// AppendSize begins a field whose value has so many bytes, also none, such as a message.
func AppendSize(data []byte, field protowire.Number, size int) []byte {
	return protowire.AppendVarint(protowire.AppendTag(data, field, protowire.BytesType), uint64(size))
}

// SizeMessage is the size of a field whose value has so many bytes.
func SizeMessage(field protowire.Number, size int) int {
	return protowire.SizeTag(field) + protowire.SizeBytes(size)
}
