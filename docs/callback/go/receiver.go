// A receiver of usher's callback with nothing but Go (1.22 or newer) and a JSON file:
//
//	HOOK_SECRET=whsec_… go run receiver.go
package main

import (
	"cmp"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"
)

type user struct {
	ID     string   `json:"id"`
	Email  string   `json:"email"`
	Name   string   `json:"name"`
	Roles  []string `json:"roles"`
	Active bool     `json:"active"`
}

type account struct {
	Account string
	User    user
}

type reply struct {
	Status int
	Said   map[string]string
}

type receiver struct {
	mutex    sync.Mutex
	Last     int
	Accounts map[string]account
	Answers  map[string]reply
}

var (
	file     = cmp.Or(os.Getenv("STORE"), "accounts.json")
	seats, _ = strconv.Atoi(cmp.Or(os.Getenv("SEATS"), "100"))
	keys     [][]byte
)

// [verify]
func authentic(header http.Header, body []byte) bool {
	event, sent := header.Get("webhook-id"), header.Get("webhook-timestamp")
	seconds, err := strconv.ParseInt(sent, 10, 64)
	if event == "" || err != nil || time.Since(time.Unix(seconds, 0)).Abs() > 5*time.Minute {
		return false
	}
	good := false
	for _, key := range keys {
		mac := hmac.New(sha256.New, key)
		fmt.Fprintf(mac, "%s.%s.%s", event, sent, body)
		wanted := mac.Sum(nil)
		for _, one := range strings.Fields(header.Get("webhook-signature")) {
			encoded, ours := strings.CutPrefix(one, "v1,")
			given, err := base64.StdEncoding.DecodeString(encoded)
			good = good || ours && err == nil && hmac.Equal(given, wanted)
		}
	}
	return good
}

// [/verify]

// [decide]
func (r *receiver) decide(kind string, user user) reply {
	switch kind {
	case "user.deleted":
		delete(r.Accounts, user.ID)
		return reply{200, map[string]string{}}
	case "user.created", "user.updated", "user.deactivated", "user.reactivated":
	default:
		return reply{200, map[string]string{}}
	}
	known, exists := r.Accounts[user.ID]
	if user.Active && !known.User.Active {
		taken := 0
		for _, other := range r.Accounts {
			if other.User.Active {
				taken++
			}
		}
		if strings.HasSuffix(user.Email, "@blocked.example") {
			return reply{403, map[string]string{"reason": "blocked_domain", "user_message": "Use your company's e-mail address."}}
		}
		if taken >= seats {
			return reply{403, map[string]string{"reason": "no_seat", "user_message": "All seats are taken. Ask Ann for one."}}
		}
	}
	status := 200
	if !exists {
		status = 201
		r.Last++
		known.Account = strconv.Itoa(r.Last)
	}
	r.Accounts[user.ID] = account{known.Account, user}
	return reply{status, map[string]string{"account": known.Account}}
}

// [/decide]

// [once]
func (r *receiver) answer(event string, body []byte) (reply, error) {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	if before, seen := r.Answers[event]; seen {
		return before, nil
	}
	var told struct {
		Type string
		Data struct{ User user }
	}
	if err := json.Unmarshal(body, &told); err != nil {
		return reply{400, map[string]string{}}, nil
	}
	result := r.decide(told.Type, told.Data.User)
	if result.Status >= 300 {
		return result, nil
	}
	r.Answers[event] = result
	text, err := json.Marshal(r) // The account and the answer are kept together, or neither is.
	if err == nil {
		err = os.WriteFile(file+".new", text, 0o600)
	}
	if err == nil {
		err = os.Rename(file+".new", file)
	}
	return result, err
}

// [/once]

func (r *receiver) ServeHTTP(writer http.ResponseWriter, request *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(writer, request.Body, 1<<20))
	if err != nil || !authentic(request.Header, body) {
		writer.WriteHeader(401)
		return
	}
	result, err := r.answer(request.Header.Get("webhook-id"), body)
	if err != nil {
		log.Fatal(err) // What is in memory is not in the file: start again from the file.
	}
	writer.Header().Set("content-type", "application/json")
	writer.WriteHeader(result.Status)
	json.NewEncoder(writer).Encode(result.Said)
}

func main() {
	// The newest and, while it is being replaced, the one before it.
	for _, one := range strings.Fields(os.Getenv("HOOK_SECRET")) {
		key, err := base64.RawStdEncoding.DecodeString(strings.TrimRight(strings.TrimPrefix(one, "whsec_"), "="))
		if err != nil {
			log.Fatal("HOOK_SECRET is not whsec_ and base64")
		}
		keys = append(keys, key)
	}
	r := &receiver{Accounts: map[string]account{}, Answers: map[string]reply{}}
	if text, err := os.ReadFile(file); err == nil {
		if err := json.Unmarshal(text, r); err != nil {
			log.Fatal(err)
		}
	}
	http.Handle("POST /internal/users", r)
	log.Fatal(http.ListenAndServe("127.0.0.1:"+cmp.Or(os.Getenv("PORT"), "3000"), nil))
}
