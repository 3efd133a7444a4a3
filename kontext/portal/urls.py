from django.urls import path

from kontext.portal import activity, applications, home

app_name = "portal"

urlpatterns = [
    path("", home.home, name="home"),
    path("applications/", applications.applications, name="applications"),
    path("applications/<uuid:application_id>/", applications.application, name="application"),
    path("applications/<uuid:application_id>/stop/", applications.stop, name="stop"),
    path("applications/<uuid:application_id>/pause/", applications.pause, name="pause"),
    path("applications/<uuid:application_id>/capabilities/<uuid:capability_id>/", applications.choose, name="choose"),
    path("applications/<uuid:application_id>/begin/<str:begin_with>/", applications.begin, name="begin"),
    path("activity/", activity.activity, name="activity"),
    path("activity/mine/", activity.own_activity, name="own_activity"),
    path("activity/calls/<uuid:call_id>/", activity.call_by_its_own_id, name="call_by_its_own_id"),
    path("activity/<uuid:event_id>/", activity.call, name="call"),
    path("activity/<uuid:event_id>/content/", activity.call_content, name="call_content"),
]
