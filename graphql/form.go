package graphql

import "net/http"

// checkForm counts what would be made of a body, before anything is: {"":{"":{"": … takes a hundred times its own size. It
// gives the number of values, of which it counts those twice that are an empty object or list.
func checkForm(body []byte, limits Limits) (values int, err error) {
	depth := 0
	values = 1
	for i := 0; i < len(body); i++ {
		switch body[i] {
		case '"':
			i = endOfString(body, i)
		case ',':
			values++
		case '{', '[':
			values++
			if depth++; depth > limits.MaxBodyDepth {
				return 0, tooMuch("MaxBodyDepth", limits.MaxBodyDepth, "objects and lists in the body are nested too deep")
			}
		case '}', ']':
			depth--
		}
		if values > limits.MaxBodyValues {
			return 0, tooMuch("MaxBodyValues", limits.MaxBodyValues, "the body has too many values")
		}
	}
	return values, nil
}

// endOfString gives where the string ends that begins at start: at its second quote, or with the body.
func endOfString(body []byte, start int) int {
	for i := start + 1; i < len(body); i++ {
		switch body[i] {
		case '\\':
			i++
		case '"':
			return i
		}
	}
	return len(body)
}

func tooMuch(limit string, most int, text string) *problem {
	p := exceeded(limit, most, "%s", text)
	p.status = http.StatusBadRequest
	return p
}
