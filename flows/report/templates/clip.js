"use strict";
const tracks = document.getElementById("tracks");
if (tracks) {
  const figure = JSON.parse(document.getElementById("tracks-data").textContent);
  const video = document.getElementById("video");
  const cursor = document.getElementById("cursor");
  const options = { responsive: true, displaylogo: false };
  Plotly.newPlot(tracks, figure.data, figure.layout, options).then(() => {
    if (video) {
      const show = () => {
        const { xaxis, margin, height } = tracks._fullLayout;
        const place = xaxis.l2p(video.currentTime);
        cursor.style.display = place >= 0 && place <= xaxis._length ? "block" : "none";
        cursor.style.left = `${xaxis._offset + place}px`;
        cursor.style.top = `${margin.t}px`;
        cursor.style.height = `${height - margin.t - margin.b}px`;
      };
      const follow = () => {
        show();
        if (!video.paused && !video.ended) requestAnimationFrame(follow);
      };
      video.addEventListener("play", follow);
      video.addEventListener("seeked", show);
      video.addEventListener("timeupdate", show);
      tracks.on("plotly_relayout", show);
      tracks.on("plotly_click", (event) => {
        video.currentTime = Math.max(event.points[0].x, 0);
      });
      show();
    }
    document.body.dataset.ready = "yes";
  });
} else {
  document.body.dataset.ready = "yes";
}
