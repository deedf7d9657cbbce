// Package assets moves static assets between storage providers: from HTTP origins, local folders and S3-compatible
// stores to local folders and S3-compatible stores. It is the job of the story this module tells, and an ordinary user
// of the library.
//
// A [Mover] moves one asset at a time for each call of [Mover.Move]: it downloads the original to a temporary file,
// verifies length and checksum, uploads, verifies what has arrived, and says what it did in a [Moved], which is kept as
// the outcome of the task. [Kind] makes a kind of task of it.
//
// # Promises
//
//   - Where the service may reach is the operator's decision alone. Every URL of a caller is compared with [Config.Allow]
//     by parsed scheme, host, port and path segments, again after each redirect, and the address that is really dialled
//     is looked at in addition: loopback, link-local, private and similar addresses are refused unless they are allowed.
//     Query parameters of blob URLs are the operator's alone.
//   - Below a file:// prefix nothing leads out: neither "..", nor encoded separators, nor symbolic links, nor a link that
//     is put in place between looking and opening. All access goes through an os.Root, which the kernel enforces at each
//     step of a path. Where a part of a folder has a prefix of its own with other rights, no link inside the folder is
//     followed, so that none leads past those rights.
//   - A destination never holds half an asset: it appears whole or not at all, and what was there stays until then. That
//     includes the sidecar file with its content type: of several moves to one destination in one process one wins with
//     both. Only a regular file is replaced; a folder, link, pipe or socket at a destination ends the task.
//   - A host that hangs or trickles does not hold up moves of other hosts: a source has to send a KiB per second on the
//     average, and a move whose host has no room puts its task off, without using an attempt.
//   - An asset is never kept if its length, or a checksum that its origin gave, is not right.
//   - Temporary files are gone when Move returns, whatever happened. What a killed process leaves behind is removed by the
//     next [New] that uses the same folders; what belongs to a living process is never touched.
//   - Memory does not grow with the size of an asset. Up to 128 KiB of each asset are kept in memory; the rest, and all of
//     a larger asset, goes to a temporary file.
//   - A second run of the same move finds by the recorded validator of the source (ETag, Last-Modified, size) and by what
//     lies at the destination that nothing changed, and copies nothing. Where the origin gives no validator, it
//     downloads, compares, and uploads nothing if nothing differs.
//   - Every error of Move says what is to become of the task (see [messages.Decision]). Its text names the two URLs, hosts
//     as the caller wrote them, and what went wrong in fixed words; paths and addresses of the service, and what drivers
//     say, are for errors.As and the log. No error text holds credentials: user names, passwords and the values of query
//     parameters are left out.
//   - All methods may be called from any goroutine.
//
// # URLs
//
// A source or destination is one of
//
//	https://cdn.example.com/img/a.svg   source only; http and https
//	file:///srv/assets/img/a.svg        the format of gocloud.dev/blob/fileblob, with its sidecar files
//	s3://bucket/img/a.svg               or any other scheme whose gocloud.dev/blob driver was imported
//	mem://name/img/a.svg
//
// The first element of a bucket URL is the bucket, the path is the key. An asset's name is given percent-encoded, and
// decoded exactly once: %252e names a file that has %2e in its name. In an HTTP URL a step upwards that shows when decoding
// twice (%252e%252e) is refused, because some origins do decode twice.
//
// # What comes along
//
// Content-Type, Cache-Control, Content-Encoding, Content-Language and Content-Disposition. Not Expires, which
// Cache-Control has replaced and which gocloud.dev/blob does not know, and no user-defined metadata.
package assets
