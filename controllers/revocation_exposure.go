package controllers

import "time"

// expose tells until when a token lives that is hit. While such tokens are issued that moves, so it is to the minute.
func (s *revocationStep) expose(views []*revocationView) {
	status := &s.rev.Status
	if !status.RecordedTime.IsZero() || len(views) == 0 {
		return
	}
	until := seconds(s.now.Add(longestLife(views) + time.Minute).Truncate(time.Minute))
	if !until.Equal(&status.Exposure.Until) { // a count that changes at each look would make each status a new one
		status.Exposure.Until, status.Exposure.Tokens = until, s.liveTokens(views)
	}
}

// liveTokens counts the tokens that are hit, as far as the token services that run know.
func (s *revocationStep) liveTokens(views []*revocationView) (live int64) {
	if s.rev.Spec.Key == nil && s.rev.Spec.All == nil {
		return 0
	}
	for _, view := range views {
		for i := range view.replicas {
			status := view.replicas[i].status
			if !view.replicas[i].signer || status == nil {
				continue
			}
			for kid, n := range status.LiveTokens {
				if n > 0 && (s.rev.Spec.Key == nil || kid == s.rev.Spec.Key.Kid) {
					live += min(n, maxLiveTokens)
				}
			}
		}
	}
	return live
}

// maxLiveTokens bounds what one replica can claim of one key.
const maxLiveTokens = 1 << 40

func longestLife(views []*revocationView) (life time.Duration) {
	for _, view := range views {
		life = max(life, view.life)
	}
	return life
}

// record notes since when no token is issued any more that is hit.
func (s *revocationStep) record(at time.Time, views []*revocationView) {
	if status := &s.rev.Status; status.RecordedTime.IsZero() {
		status.RecordedTime = seconds(at)
		status.Exposure.Until, status.Exposure.Tokens = seconds(at.Add(longestLife(views)+time.Second)), s.liveTokens(views)
	}
}
