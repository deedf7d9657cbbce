package taskrunner_test

import (
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// Whoever reads the documentation of a package learns there what is not as in OTP: each behaviour that docs/otp.md says Go differs in
// stands in a section "Where Go differs".
func TestWhereGoDiffersIsInThePackageDocs(t *testing.T) {
	t.Parallel()
	named := map[string]bool{}
	for _, file := range []string{"actors/doc.go", "supervisor/doc.go"} {
		for section := range strings.SplitSeq(read(t, file), "\n// # ") {
			if strings.HasPrefix(section, "Where Go differs") {
				nameIDs(named, section)
			}
		}
	}
	rows := regexp.MustCompile(`(?m)^\| ([A-Z]{2}-\d\d) \|.*?[^\\] \| (.*?) ?\| \[`).FindAllStringSubmatch(read(t, "docs/otp.md"), -1)
	if len(rows) != 177 {
		t.Fatalf("%d rows were read, want 177", len(rows))
	}
	for _, row := range rows {
		if id, how := row[1], row[2]; how != "" && !named[id] {
			t.Errorf("%s is in no section \"Where Go differs\" of a package: %s", id, how)
		}
	}
}

// nameIDs enters the ids of a text, and those of its ranges: SV-27 to SV-31.
func nameIDs(named map[string]bool, text string) {
	for _, id := range regexp.MustCompile(`[A-Z]{2}-\d\d`).FindAllString(text, -1) {
		named[id] = true
	}
	for _, r := range regexp.MustCompile(`([A-Z]{2})-(\d\d) to [A-Z]{2}-(\d\d)`).FindAllStringSubmatch(text, -1) {
		from, _ := strconv.Atoi(r[2])
		to, _ := strconv.Atoi(r[3])
		for n := from; n <= to; n++ {
			named[r[1]+"-"+strconv.Itoa(100 + n)[1:]] = true
		}
	}
}

func read(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
