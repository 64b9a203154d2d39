package main

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// newClient keeps one connection, comes from a loopback address of its own and follows no redirect.
func newClient(number int) *http.Client {
	from := &net.TCPAddr{IP: net.IPv4(127, 0, byte(1+number/250), byte(1+number%250))}
	dialer := &net.Dialer{LocalAddr: from, Timeout: 5 * time.Second}
	return &http.Client{
		Timeout: 30 * time.Second,
		Transport: &http.Transport{
			Dial: func(network, address string) (net.Conn, error) {
				_, port, err := net.SplitHostPort(address)
				if err != nil {
					return nil, err
				}
				return dialer.Dial("tcp4", net.JoinHostPort("127.0.0.1", port))
			},
			MaxIdleConnsPerHost: 1,
			DisableCompression:  true,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// signIn goes through the whole sign-in as a browser would and uses the session once; it gives the cookie header.
func signIn(client *http.Client, op *provider, target, start, use string, user int) (string, string, error) {
	cookies := map[string]string{}
	at := target + start
	for range 8 {
		answer, body, err := get(client, at, cookies)
		if err != nil {
			return "", "", err
		}
		if answer.StatusCode/100 != 3 {
			return "", "", fmt.Errorf("%s answered %d: %.300s", at, answer.StatusCode, body)
		}
		next, err := answer.Request.URL.Parse(answer.Header.Get("Location"))
		if err != nil {
			return "", "", err
		}
		if strings.HasPrefix(next.String(), op.issuer+"/") {
			callback, err := op.authorize(next, user)
			if err != nil {
				return "", "", err
			}
			at = callback
			continue
		}
		if next.Path == pathOf(use) {
			answer, body, err = get(client, target+use, cookies)
			if err != nil {
				return "", "", err
			}
			if answer.StatusCode != http.StatusOK {
				return "", "", fmt.Errorf("%s answered %d to the new session: %.300s", use, answer.StatusCode, body)
			}
			return header(cookies), body, nil
		}
		at = next.String()
	}
	return "", "", fmt.Errorf("too many redirects, the last to %s", at)
}

func pathOf(use string) string {
	parsed, err := url.Parse(use)
	if err != nil {
		return use
	}
	return parsed.Path
}

func get(client *http.Client, at string, cookies map[string]string) (*http.Response, string, error) {
	request, err := http.NewRequest(http.MethodGet, at, nil)
	if err != nil {
		return nil, "", err
	}
	request.Header.Set("Accept", "text/html")
	request.Header.Set("Sec-Fetch-Mode", "navigate")
	request.Header.Set("Sec-Fetch-Site", "none")
	if len(cookies) > 0 {
		request.Header.Set("Cookie", header(cookies))
	}
	answer, err := client.Do(request)
	if err != nil {
		return nil, "", err
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(io.LimitReader(answer.Body, 64<<10))
	if err != nil {
		return nil, "", err
	}
	_, _ = io.Copy(io.Discard, answer.Body)
	for _, cookie := range answer.Cookies() {
		if cookie.MaxAge < 0 || cookie.Value == "" {
			delete(cookies, cookie.Name)
		} else {
			cookies[cookie.Name] = cookie.Value
		}
	}
	return answer, string(body), nil
}

func header(cookies map[string]string) string {
	pairs := make([]string, 0, len(cookies))
	for name, value := range cookies {
		pairs = append(pairs, name+"="+value)
	}
	return strings.Join(pairs, "; ")
}
