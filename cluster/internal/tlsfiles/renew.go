package tlsfiles

import (
	"log/slog"
	"os"
	"time"

	"github.com/troupe-raft/troupe/cluster/internal/hush"
)

const (
	renewEvery  = time.Second
	renewTime   = 5 * time.Second // in which a certificate and its key may be replaced one after the other
	expiresSoon = 30 * 24 * time.Hour
	expiryAgain = 24 * time.Hour
)

// Renew reads the files again when they change, until stop is closed, and warns of certificates that expire soon. While the files do not
// fit together, the content before stays in use. A file system that hangs holds up nothing else.
func (f *Files) Renew(logger *slog.Logger, stop <-chan struct{}) {
	r := renewal{of: f, logger: logger}
	r.warn(time.Now())
	r.run(stop)
}

// A renewal is what renewing remembers. One goroutine uses it.
type renewal struct {
	of      *Files
	logger  *slog.Logger
	quiet   hush.Hush
	failing time.Time // since when the files cannot be used; zero: they can
	warned  time.Time // when an expiring certificate was last warned of
}

func (r *renewal) run(stop <-chan struct{}) {
	ticker := time.NewTicker(renewEvery)
	defer ticker.Stop()
	for {
		select {
		case <-stop:
			return
		case now := <-ticker.C:
			r.look(now)
		}
	}
}

func (r *renewal) look(now time.Time) {
	if !r.failing.IsZero() || r.of.changed() {
		r.read(now)
	}
	if now.Sub(r.warned) >= expiryAgain {
		r.warn(now)
	}
}

// read puts the new content of the files in use. When it cannot be used, the content before stays in use.
func (r *renewal) read(now time.Time) {
	content, err := read(r.of.names, now)
	switch {
	case err == nil:
		r.of.current.Store(content)
		r.failing = time.Time{}
		r.logger.Info("the certificates were read again: new connections use them", slog.String("expires", date(content.spans[0].until)))
		r.warn(now)
	case r.failing.IsZero():
		r.failing = now
	case now.Sub(r.failing) >= renewTime && r.quiet.AllowAt(now, "files", 1):
		r.logger.Warn("the certificates changed and cannot be used: those from before stay in use", slog.Any("error", err))
	}
}

// warn warns of certificates that expire soon, or expired while the node ran.
func (r *renewal) warn(now time.Time) {
	for _, s := range r.of.Content().spans {
		left := s.until.Sub(now)
		if left >= expiresSoon {
			continue
		}
		end := "expires soon"
		if left < 0 {
			end = "has expired"
		}
		r.warned = now
		r.logger.Warn("a certificate "+end+": replace the file, which is read again without a restart",
			slog.String("file", s.file), slog.String("expires", date(s.until)))
	}
}

// changed says whether the files are others than those that were read.
func (f *Files) changed() bool {
	before := f.Content().infos
	for i, name := range f.names.all() {
		if name == "" {
			continue
		}
		now, err := os.Stat(name)
		if err != nil || before[i] == nil || !os.SameFile(now, before[i]) {
			return true
		}
		if now.Size() != before[i].Size() || !now.ModTime().Equal(before[i].ModTime()) {
			return true
		}
	}
	return false
}
