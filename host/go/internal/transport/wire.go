package transport

import (
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
)

// wire is the connection of one request. It tells whether a byte of the request may have left, and from it only so much is read. The limit of
// an answer's body does not count what stands before it: a server can send interim answers (1xx, RFC 9110 section 15.2) for as long as it likes.
type wire struct {
	net.Conn
	limit int

	mutex sync.Mutex
	read  int
	sent  bool
	ended bool
	broke error
}

func newWire(connection net.Conn, limit int) *wire { return &wire{Conn: connection, limit: limit} }

// Read fails beyond the limit.
func (w *wire) Read(buffer []byte) (int, error) {
	count, err := w.Conn.Read(buffer)
	w.mutex.Lock()
	defer w.mutex.Unlock()
	if w.read += count; w.read > w.limit {
		count, err = 0, fmt.Errorf("with all that stands before it, the answer is longer than %d bytes", w.limit)
	}
	w.note(err)
	return count, err
}

// Write fails after the end.
func (w *wire) Write(bytes []byte) (int, error) {
	w.mutex.Lock()
	ended := w.ended
	w.sent = w.sent || !ended && len(bytes) > 0
	w.mutex.Unlock()
	if ended {
		return 0, net.ErrClosed
	}
	count, err := w.Conn.Write(bytes)
	w.mutex.Lock()
	defer w.mutex.Unlock()
	w.note(err)
	return count, err
}

// note keeps what happened first. Closing is our own doing.
func (w *wire) note(err error) {
	if err == nil || w.broke != nil || errors.Is(err, net.ErrClosed) {
		return
	}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		err = errors.New("the connection ended before the answer was complete")
	}
	w.broke = err
}

// end closes the connection. It tells whether a byte may have left, and what broke; no byte leaves afterwards.
func (w *wire) end() (sent bool, broke error) {
	w.mutex.Lock()
	w.ended = true
	sent, broke = w.sent, w.broke
	w.mutex.Unlock()
	w.Conn.Close()
	return sent, broke
}
