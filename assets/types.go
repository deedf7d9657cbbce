package assets

import (
	"mime"
	"path"
	"strings"
)

// types are the content types by extension. The table is our own because mime.TypeByExtension reads files of the
// machine: two replicas could then disagree about the same asset, and about whether it needs a sidecar file.
var types = map[string]string{
	".aac": "audio/aac", ".apng": "image/apng", ".avif": "image/avif", ".bmp": "image/bmp", ".css": "text/css",
	".csv": "text/csv", ".eot": "application/vnd.ms-fontobject", ".flac": "audio/flac", ".gif": "image/gif",
	".gz": "application/gzip", ".htm": "text/html", ".html": "text/html", ".ico": "image/x-icon", ".jpeg": "image/jpeg",
	".jpg": "image/jpeg", ".js": "text/javascript", ".json": "application/json", ".jxl": "image/jxl",
	".m4a": "audio/mp4", ".map": "application/json", ".md": "text/markdown", ".mjs": "text/javascript",
	".mp3": "audio/mpeg", ".mp4": "video/mp4", ".oga": "audio/ogg", ".ogg": "audio/ogg", ".ogv": "video/ogg",
	".opus": "audio/ogg", ".otf": "font/otf", ".pdf": "application/pdf", ".png": "image/png", ".svg": "image/svg+xml",
	".tar": "application/x-tar", ".tif": "image/tiff", ".tiff": "image/tiff", ".ttf": "font/ttf", ".txt": "text/plain",
	".wasm": "application/wasm", ".wav": "audio/wav", ".weba": "audio/webm", ".webm": "video/webm",
	".webmanifest": "application/manifest+json", ".webp": "image/webp", ".woff": "font/woff", ".woff2": "font/woff2",
	".xml": "text/xml", ".zip": "application/zip",
}

// typeByName gives the content type that a name stands for, empty if it stands for none.
func typeByName(l location) string {
	if len(l.path) == 0 || l.dir {
		return ""
	}
	return types[strings.ToLower(path.Ext(l.path[len(l.path)-1]))]
}

// mediaType gives a content type in its usual form, and nothing for what is none, which a driver would refuse for ever.
func mediaType(said string) string {
	name, parameters, err := mime.ParseMediaType(said)
	if err != nil {
		return ""
	}
	return mime.FormatMediaType(name, parameters)
}
