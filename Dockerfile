# One image with the three programs; the command chooses. Static, no shell, not root.
FROM golang:1.26 AS build
ARG VERSION=dev
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY api api
COPY cmd cmd
COPY config/rbac config/rbac
COPY controllers controllers
COPY internal internal
RUN CGO_ENABLED=0 go build -trimpath -buildvcs=false -ldflags "-s -w -X main.version=${VERSION}" -o /out/ ./cmd/manager ./cmd/tokenservice ./cmd/extauthz

FROM scratch
COPY --from=build /out/manager /out/tokenservice /out/extauthz /
USER 65532:65532
