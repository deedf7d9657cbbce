package main

import (
	"bytes"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"math/rand/v2"
	"strings"
)

// sample is one asset of the old provider.
type sample struct {
	name        string // below the origin; slashes, nothing to escape
	contentType string
	body        []byte
	fault       fault
}

// fault is what goes wrong with a sample on purpose.
type fault int

const (
	sound     fault = iota
	missing         // 404, for good
	forbidden       // 403, for good
	broken          // ends half way, each time
	torn            // ends half way, the first time
	flaky           // 503 with Retry-After, the first time
	slow            // comes drop by drop
)

// samplePlan is what there is, by kind and by fault: 232 assets, of which 220 arrive in the end.
var samplePlan = []struct {
	kind  func(i int, random *rand.Rand) sample
	count int
	fault fault
}{
	{svgSample, 80, sound},
	{cssSample, 40, sound},
	{jsSample, 40, sound},
	{pngSample, 36, sound},
	{binarySample, 4, sound},
	{svgSample, 8, missing},
	{pngSample, 2, forbidden},
	{jsSample, 2, broken},
	{pngSample, 6, torn},
	{cssSample, 8, flaky},
	{jsSample, 6, slow},
}

// makeSamples makes the same samples each time: who is started again must find what he had begun to read.
func makeSamples() []sample {
	random := rand.New(rand.NewPCG(1, 2))
	var samples []sample
	for _, plan := range samplePlan {
		for range plan.count {
			s := plan.kind(len(samples), random)
			s.fault = plan.fault
			samples = append(samples, s)
		}
	}
	// Mixed, so that what goes wrong does not come all at the end.
	random.Shuffle(len(samples), func(i, j int) { samples[i], samples[j] = samples[j], samples[i] })
	return samples
}

// The samples of each kind are of all sizes, from one packet to many, and look like what they are named.
func svgSample(i int, random *rand.Rand) sample {
	var b strings.Builder
	b.WriteString(`<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 24 24">`)
	for range 1 + random.IntN(60) {
		fmt.Fprintf(&b, `<circle cx="%d" cy="%d" r="%d" fill="#%06x"/>`, random.IntN(24), random.IntN(24), 1+random.IntN(6), random.IntN(1<<24))
	}
	b.WriteString("</svg>\n")
	return sample{name: fmt.Sprintf("icons/icon-%03d.svg", i), contentType: "image/svg+xml", body: []byte(b.String())}
}

func cssSample(i int, random *rand.Rand) sample {
	var b strings.Builder
	for range 5 + random.IntN(400) {
		fmt.Fprintf(&b, ".c%d { color: #%06x; margin: %dpx; }\n", random.IntN(10_000), random.IntN(1<<24), random.IntN(64))
	}
	return sample{name: fmt.Sprintf("styles/style-%03d.css", i), contentType: "text/css; charset=utf-8", body: []byte(b.String())}
}

func jsSample(i int, random *rand.Rand) sample {
	var b strings.Builder
	for line := range 5 + random.IntN(1000) {
		fmt.Fprintf(&b, "export const value%d = %d;\n", line, random.Int64())
	}
	return sample{name: fmt.Sprintf("scripts/script-%03d.js", i), contentType: "text/javascript; charset=utf-8", body: []byte(b.String())}
}

// pngSample is a real picture, so that a browser shows it from either provider.
func pngSample(i int, random *rand.Rand) sample {
	side := 16 + random.IntN(112)
	picture := image.NewNRGBA(image.Rect(0, 0, side, side))
	base := random.IntN(256)
	for y := range side {
		for x := range side {
			picture.SetNRGBA(x, y, color.NRGBA{R: uint8(base + x), G: uint8(base + y), B: uint8(random.IntN(64)), A: 255})
		}
	}
	var b bytes.Buffer
	_ = png.Encode(&b, picture) // a buffer takes everything
	return sample{name: fmt.Sprintf("images/image-%03d.png", i), contentType: "image/png", body: b.Bytes()}
}

// binarySample is larger than what is kept in memory while it is moved.
func binarySample(i int, random *rand.Rand) sample {
	body := make([]byte, (1+random.IntN(3))<<20)
	_, _ = rand.NewChaCha8([32]byte{byte(i)}).Read(body) // never fails
	return sample{name: fmt.Sprintf("fonts/font-%03d.woff2", i), contentType: "font/woff2", body: body}
}
