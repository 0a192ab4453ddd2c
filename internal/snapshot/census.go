package snapshot

import "time"

// Census is what an edge answers on `GET /census` of its internal port: who still uses legacy sessions. It tells of the
// requests that a session authorized at this replica since Since, one to two days ago or its start. Every value has been
// seen from at least ten users; what is left over is only in Requests.
type Census struct {
	// Instance is the pod's name.
	Instance string       `json:"instance"`
	Since    time.Time    `json:"since"`
	Requests uint64       `json:"requests"`
	Routes   []CensusLine `json:"routes"`
	Agents   []CensusLine `json:"agents"`
	Roles    []CensusLine `json:"roles"`
}

// CensusLine is one value and its requests; the most first.
type CensusLine struct {
	Value    string `json:"value"`
	Requests uint64 `json:"requests"`
}
