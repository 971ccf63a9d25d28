# An image with nothing but vstor in it: the binary is static.
#   docker build -t vstor .
#   docker run --rm -p 3260:3260 -v /srv/disks:/disks vstor target --lun /disks/guest.img
FROM debian:12-slim AS build
RUN apt-get update && apt-get install -y --no-install-recommends make
WORKDIR /src
# Xen's libraries first: they change seldom, so this layer is kept.
COPY Makefile ./
COPY xen/build.mk xen/build-libs.sh xen/fetch-sources.sh xen/
RUN make deps-build && make xen-libs
COPY . .
RUN make

FROM scratch
COPY --from=build /src/build/vstor /vstor
EXPOSE 3260
ENTRYPOINT ["/vstor"]
