package wif

import (
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestAnAnswerRejectsTheTokenAsTheCasesOfAllHostsSay(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(filepath.Dir(os.Getenv("RULES")), "../tests/requests/answers.json"))
	if err != nil {
		t.Fatal(err)
	}
	var document struct {
		Cases []struct {
			Name    string
			Request struct{ Method, URL string }
			Answer  struct {
				Status int
				Fields [][2]string
			}
			Rejected *bool
		}
	}
	if err := json.Unmarshal(text, &document); err != nil {
		t.Fatal(err)
	}
	judged := 0
	for _, one := range document.Cases {
		// Such requests carry no token that could be rejected.
		bare := strings.HasPrefix(one.Request.URL, "{elsewhere}") || one.Request.Method == http.MethodOptions
		if one.Rejected == nil || bare {
			continue
		}
		judged++
		response := &http.Response{StatusCode: one.Answer.Status, Header: http.Header{}}
		for _, field := range one.Answer.Fields {
			response.Header.Add(field[0], field[1])
		}
		if rejects(response) != *one.Rejected {
			t.Errorf("%s: rejected: %v", one.Name, !*one.Rejected)
		}
	}
	if judged < 15 {
		t.Fatalf("only %d answers were judged", judged)
	}
}
