// Package rehearsal holds the tests that need a real cluster: containers, a kubelet, a scheduler, kube-proxy. Keyturn is
// installed by Helm, in the image that the Dockerfile describes, behind a real nginx on this machine; then it is
// restarted, starved, killed, evicted and upgraded while users call it, and at last the chart is uninstalled and the users
// notice nothing. It prints what it measured.
//
//	go test -tags realnode -count=1 -timeout 20m -v ./hack/rehearsal
//
// It needs Linux and root, and is behind a build tag because nothing less will do. Where it cannot run it says so
// loudly; with REQUIRE_E2E=1 that is a failure. KEYTURN_SOAK=1 adds what takes minutes.
package rehearsal
