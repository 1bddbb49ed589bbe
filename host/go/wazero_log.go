//go:build !cgo || !wif_library

package wif

import (
	"context"
	"log/slog"
	"strings"
	"time"

	"wif/internal/contract"
	"wif/internal/driver"
)

// log hands lines to the program's logger on a goroutine of its own: a slow one holds nothing up, and one that panics ends nothing.
type log struct {
	lines chan line
	done  chan struct{}
}

type line struct {
	level      slog.Level
	message    string
	attributes []slog.Attr
}

const (
	// mostLines are kept for a logger that is slow.
	mostLines = 1_000
	// flushFor is how long Close waits for what is left to be logged.
	flushFor = time.Second
)

func startLog(logger *slog.Logger) *log {
	started := &log{make(chan line, mostLines), make(chan struct{})}
	go func() {
		defer close(started.done)
		for line := range started.lines {
			if logger != nil {
				line.hand(logger)
			}
		}
	}()
	return started
}

func (l line) hand(logger *slog.Logger) {
	// The program's handler: what it panics with is its own affair.
	defer func() { _ = recover() }()
	logger.LogAttrs(context.Background(), l.level, l.message, l.attributes...)
}

// add is called by one goroutine at a time, and not after end.
func (l *log) add(level slog.Level, message string, attributes ...slog.Attr) {
	select {
	case l.lines <- line{level, message, attributes}:
	default:
		// A log that is full goes on with what comes later.
	}
}

func (l *log) end() { close(l.lines) }

// wait is for whoever has ended the driver.
func (l *log) wait() {
	timer := time.NewTimer(flushFor)
	defer timer.Stop()
	select {
	case <-l.done:
	case <-timer.C:
	}
}

// listener has the words and the names of all hosts.
func (l *log) listener() driver.Listener {
	return driver.Listener{
		Note: func(note contract.Note) {
			level := map[string]slog.Level{"warning": slog.LevelWarn, "error": slog.LevelError}[note.Level]
			listed := make([]string, len(note.Fields))
			for i, field := range note.Fields {
				listed[i] = field.Name + "=" + field.Value
			}
			l.add(level, note.Message, slog.String("code", note.Code), slog.String("fields", strings.Join(listed, " ")))
		},
		Access: func(kind, detail string, failure *contract.Failure) {
			access := slog.String("access", kind)
			switch kind {
			case "usable":
				l.add(slog.LevelInfo, "there is an access token", access, slog.String("id", detail))
			case "pending":
				l.add(slog.LevelInfo, "there is no access token yet", access, slog.String("reason", detail))
			case "failed":
				l.add(slog.LevelWarn, "there is no access token: "+failure.Message, access, slog.String("code", failure.Code))
			case "idle":
				l.add(slog.LevelInfo, "nobody has asked for an access token", access)
			default:
				l.add(slog.LevelInfo, "the credential is closed", access)
			}
		},
		Stopped: func(cause, why string) {
			l.add(slog.LevelError, "the component was stopped: "+why, slog.String("code", "component-stopped"), slog.String("cause", cause))
		},
		Ended: l.end,
	}
}
